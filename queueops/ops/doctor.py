"""The doctor: compares all that is kept twice, says what is wrong and proves it, and mends it on request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from queueops.engine.doctor_verbs import Difference
from queueops.engine.store import Store
from queueops.ops import audit, broker, permissions, surroundings
from queueops.ops.permissions import Actor
from queueops.ops.surroundings import Finding

__all__ = ["Finding", "Repair", "Report", "examine", "repair"]

#: Jobs that are looked at one by one unless all are asked for.
JOBS = 20_000
#: Mending one thing may show another: a job that is put back changes the numbers of its org.
ROUNDS = 4

#: kind -> what it means when the two differ; the kinds of the engine's scripts.
_MEANING = {
    "slots of an org": "Jobs in flight of {what} are counted wrong, so its cap lets too many or too few run.",
    "slots of the queue": "Jobs in flight of queue {what} are counted wrong.",
    "slots of a resource": "Jobs in flight of resource {what} are counted wrong.",
    "lanes of an org": "The lanes of {what} are not those it knows of: jobs in the others are never claimed.",
    "place in a ring": "An org stands in a ring where it should not, or does not where it should: {what}.",
    "open ring": "The ring of resource {what!r} holds orgs and is not looked at.",
    "closing of an org without jobs": "{what} is closed though it has no job.",
    "end of a closing": "{what} is closed and nothing would open it again.",
    "end of a resource's closing": "Resource {what} is closed and nothing would open it again.",
    "wake-up of scheduled jobs": "Scheduled jobs of {what} would not become ready in time.",
    "scheduled jobs": "Scheduled jobs of queue {what} are counted wrong.",
    "orgs with ready jobs": "Orgs with ready jobs of queue {what} are counted wrong.",
    "weight of an org": "{what} counts for a wrong weight in its queue's time.",
    "weight of active orgs": "The weights of the orgs of queue {what} do not add up: shares drift.",
    "number of active orgs": "The active orgs of queue {what} are counted wrong.",
    "active orgs of a resource": "The orgs that are active for resource {what} alone are counted wrong.",
    "depth list": "The list {what}, whose length others read as the depth, has a wrong length.",
    "jobs put aside": "Jobs of {what} were put aside while it was paused, and nothing would bring them back.",
    "slots of the workers": "The slots that workers offer to queue {what} are counted wrong: shares are off.",
    "slots of a worker": "Slots are counted of a worker that is not registered: {what}.",
    "registration": "Worker {what} is registered, and nothing would strike it off.",
    "unlisted process": "Leases of {what} would never be ended.",
    "place of a job": "Job {what} stands nowhere, or in two places.",
    "index of jobs": "The index of task ids and the jobs do not agree: {what}.",
    "unique key": "Unique key {what} belongs to a job that is gone.",
    "blocked job": "Job {what} is blocked and waits for nothing.",
    "child of a job": "Job {what} does not know which job waits for it.",
    "parent of a blocked job": "A job waits for one that nobody knows: {what}. Cancel or release it.",
}
#: Only a person can decide about these.
_NOT_MENDED = frozenset({"parent of a blocked job"})


@dataclass(frozen=True, slots=True)
class Report:
    """What an examination found, and what it looked at: orgs, leases and jobs, and what it left out."""

    findings: tuple[Finding, ...]
    orgs: int
    leases: int
    jobs: int
    left_out: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


@dataclass(frozen=True, slots=True)
class Repair:
    """What was wrong `before`, and what is left `after`, seen by a second examination."""

    before: Report
    after: Report


def examine(actor: Actor, *, thorough: bool = False) -> Report:
    """Look at everything; change nothing. A broker at work shows no difference that is none.

    Args:
        thorough: look at every job, not at the first 20,000 only, and add up queues of more than some
            thousand orgs; that holds the broker for some 20 us an org.

    Raises:
        PermissionDenied: the actor may not see jobs.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.VIEW_JOBS)
    with broker.store() as store:
        return _examine(store, thorough)


def repair(actor: Actor, *, thorough: bool = False) -> Repair:
    """Mend what can be mended, and look again. Other args as in `examine`.

    A job that lost its place is put back into its lane; if it must not run twice it becomes a dead letter.

    Raises:
        PermissionDenied: the actor may not repair.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.REPAIR)
    with broker.store() as store:
        before = _examine(store, thorough)
        mended = sum(finding.mendable for finding in before.findings)
        entry = audit.record(actor, "doctor", "the broker", {"found": _told(before)}, mended)
        for finding in before.findings:
            if finding.mend is not None:
                finding.mend()
        for _ in range(ROUNDS if mended else 0):
            if not any(one.kind not in _NOT_MENDED for one in _look(store, thorough, mend=True)):
                break
        after = _examine(store, thorough)
    entry.parameters = {**entry.parameters, "left": _told(after)}
    entry.save(update_fields=["parameters"])
    return Repair(before, after)


def _told(report: Report) -> list[str]:
    return [f"{finding.kind}: {finding.proof}" for finding in report.findings[:50]]


class _Look:
    """One walk through the engine's keys."""

    def __init__(self) -> None:
        self.orgs = self.leases = self.jobs = 0
        self.left_out: list[str] = []

    def __call__(self, store: Store, thorough: bool, mend: bool) -> Iterator[Difference]:
        found, self.leases = store.check_leases(repair=mend)
        yield from found
        limit = None if thorough else JOBS
        found, self.jobs = store.check_jobs(limit=limit, repair=mend)
        yield from found
        if limit is not None and self.jobs >= limit:
            self.left_out.append(f"jobs beyond the first {limit:,}: ask for a thorough look")
        for queue in store.queues():
            found, orgs, summed = store.check_queue(queue, thorough=thorough, repair=mend)
            yield from found
            if not summed:
                self.left_out.append(f"the sums of {queue}: it has many orgs; ask for a thorough look")
            self.orgs += orgs


def _look(store: Store, thorough: bool, *, mend: bool) -> list[Difference]:
    return list(_Look()(store, thorough, mend))


def _examine(store: Store, thorough: bool) -> Report:
    look = _Look()
    findings = [_finding(one) for one in look(store, thorough, mend=False)]
    # What is not read at one moment is looked at twice: what has changed meanwhile is work, not a fault.
    around = _lasting(lambda: list(surroundings.find(store)))
    return Report((*findings, *around), look.orgs, look.leases, look.jobs, tuple(look.left_out))


def _lasting(find: Callable[[], list[Finding]]) -> list[Finding]:
    found = find()
    if not found:
        return []
    again = {(one.kind, one.text) for one in find()}
    return [one for one in found if (one.kind, one.text) in again]


def _finding(one: Difference) -> Finding:
    text = _MEANING.get(one.kind, f"{one.kind} of {{what}}").format(what=one.what)
    proof = f"should be {one.wanted or 'none'}, is {one.found or 'none'}"
    # Mended all together, by a walk of `repair`: one look at a queue compares all of its numbers.
    return Finding(one.kind, text, proof, None if one.kind in _NOT_MENDED else _together)


def _together(*_: Any) -> None:
    """Stand for a repair that is made with others of its kind."""
