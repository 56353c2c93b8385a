"""Why a job waits, and until when: what the broker knows, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from queueops.conf import config
from queueops.engine.job_types import GateState, JobSnapshot
from queueops.engine.rules import priority as priorities
from queueops.engine.store import Store
from queueops.engine.types import WorkerInfo
from queueops.errors import InvalidMessage
from queueops.ops import messages
from queueops.ops.estimate import Estimate, estimate, span

__all__ = ["GATES", "Explanation", "explained", "header_of"]

#: Jobs that a blocked one waits for whose state is looked up.
_PARENTS = 10

#: What a closed gate means.
GATES = {
    "pause": "paused",
    "queue_concurrency": "all the jobs run that the queue may run at once",
    "org_concurrency": "all the jobs run that the org may run at once",
    "org_share": "the org holds its share of the queue's slots",
    "org_rate": "the org has started what its rate allows",
    "resource_concurrency": "all the jobs run that the resource may run at once",
    "resource_rate": "the resource has started what its rate allows",
    "resource_breaker": "the resource's breaker is open",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job is where it is.

    Attributes:
        state: ready, scheduled, blocked or leased; astray when it has lost its place.
        why: one sentence; `lines` says the rest, a fact a line.
        place: jobs before it in its lane of `lane_size`; None when it is not ready.
        ring_place: orgs before its own in the ring of `ring_size`; None while a gate keeps the org out.
        priority: as published, 0..10. `effective_priority`: that of a fresh job that would stand beside it.
        gates: each with its state and when it opens.
        blocked_on: task ids of the jobs it waits for, ten at most, and the state of each; a dead one holds it
            until its letter is replayed, or discarded.
        workers: those that serve the queue.
        overdue_seconds: since its deadline; 0 when it has none or is in time.
    """

    task_id: str
    state: str
    queue: str
    org: str
    resource: str
    task: str
    why: str
    priority: int
    effective_priority: int
    place: int | None
    lane_size: int | None
    ring_place: int | None
    ring_size: int | None
    gates: tuple[GateState, ...]
    blocked_on: Mapping[str, str]
    workers: tuple[WorkerInfo, ...]
    overdue_seconds: float
    estimate: Estimate
    snapshot: JobSnapshot = field(repr=False)

    @property
    def lines(self) -> tuple[str, ...]:
        """The whole of it as a person reads it, a fact a line."""
        return tuple(_lines(self))


def explained(store: Store, task_id: str) -> Explanation | None:
    """Explain the job that has this task id; None when it is over or never was."""
    job = store.job(task_id)
    if job is None:
        return None
    given = header_of(job).get("priority")
    priority = given if isinstance(given, int) else priorities.Priority.NORMAL.value
    table = config().queue(job.queue).patience_ms
    aged = job.state in ("ready", "leased")
    return Explanation(
        task_id=task_id,
        state=job.state,
        queue=job.queue,
        org=job.head.org,
        resource=job.head.resource,
        task=job.head.task,
        why=_why(job),
        priority=priority,
        effective_priority=priorities.effective(job.at_ms - job.now_ms, table) if aged else priority,
        place=job.place,
        lane_size=job.lane_size,
        ring_place=job.ring_place,
        ring_size=job.ring_size,
        gates=job.gates,
        blocked_on=store.fates(job.blocked_on[:_PARENTS]),
        workers=tuple(one for one in store.workers() if job.queue in one.queues and one.offers),
        overdue_seconds=job.overdue_ms / 1000,
        estimate=estimate(job),
        snapshot=job,
    )


def header_of(job: JobSnapshot) -> dict[str, Any]:
    """Our header of the job's message; empty when it cannot be read."""
    try:
        return messages.read(job.message).own
    except InvalidMessage:
        return {}


def _why(job: JobSnapshot) -> str:
    if job.state == "leased":
        assert job.lease is not None
        since = span((job.now_ms - job.lease.claimed_ms) / 1000)
        return f"A worker has had it for {since}: {job.lease.holder}."
    if job.state == "scheduled":
        what = f"for its attempt {job.head.attempt + 1}" if job.head.attempt else "for its time"
        return f"It waits {what}, due in {span(max(0, job.at_ms - job.now_ms) / 1000)}."
    if job.state == "blocked":
        others = f"{job.parents:,} other job{'' if job.parents == 1 else 's'} to succeed"
        if not job.held:
            return f"It waits for {others}."
        return f"Somebody holds it{f', and it waits for {others}' if job.parents else ''}."
    if job.state != "ready":
        return "Its text is there, but it stands nowhere. The doctor puts it back."
    for gate in job.gates:
        if gate.closed:
            return f"It is ready, and a gate is closed: {_gate(gate, job.now_ms)}."
    if not job.slots:
        return "It is ready, and no worker serves its queue."
    return "It is ready and waits for its turn."


def _gate(gate: GateState, now_ms: int) -> str:
    told = f"{gate.name} of its {gate.subject}" if gate.subject != "all" else f"{gate.name} of everything"
    why = GATES.get(gate.name, "closed")
    who = f" by {gate.by}" if gate.by else ""
    reason = f" ({gate.reason})" if gate.reason else ""
    if gate.until_ms:
        ends = f"; it opens in {span(max(0, gate.until_ms - now_ms) / 1000)}"
    else:
        ends = "; until somebody resumes it" if gate.name == "pause" else "; it opens when a job ends"
    return f"{told}: {why}{who}{reason}{ends}"


def _lines(told: Explanation) -> list[str]:
    job = told.snapshot
    lines = [told.why]
    if told.place is not None:
        lines.append(f"Place {told.place + 1:,} of {told.lane_size:,} in the lane of {told.org}.")
    if told.ring_place is not None:
        lines.append(f"Its org is number {told.ring_place + 1:,} of {told.ring_size:,} in the ring.")
    elif told.state == "ready" and job.closed_by:
        again = max(0, (job.looked_at_ms or job.now_ms) - job.now_ms) / 1000
        lines.append(
            f"Its org is out of the ring by {job.closed_by}, looked at again in {span(again)} at most."
        )
    level = f"Priority {told.priority}"
    if told.effective_priority != told.priority:
        level += f", by now beside fresh jobs of priority {told.effective_priority}"
    lines.append(f"{level}.")
    for gate in told.gates:
        if gate.closed:
            lines.append(f"Closed: {_gate(gate, job.now_ms)}.")
        else:
            use = f" ({gate.used} of {gate.limit})" if gate.limit is not None else ""
            lines.append(f"Open: {gate.name} of its {gate.subject}{use}.")
    lines += [f"Waits for {parent}, which is {state}." for parent, state in told.blocked_on.items()]
    slots = sum(worker.slots for worker in told.workers)
    if len(told.workers) == 1:
        lines.append(f"1 worker with {slots} slot{'s' * (slots != 1)} serves {told.queue}.")
    else:
        lines.append(f"{len(told.workers)} workers with {slots} slots serve {told.queue}.")
    if told.overdue_seconds:
        lines.append(f"Its deadline passed {span(told.overdue_seconds)} ago.")
    if told.state in ("ready", "scheduled", "blocked"):
        lines.append(f"Start: {told.estimate}.")
    return lines
