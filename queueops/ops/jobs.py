"""The verbs of jobs: info, explain, listed, overdue, cancel, hold, release, retry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic

from celery import current_app

from queueops.engine.job_types import JobRow
from queueops.engine.job_verbs import PAGE
from queueops.engine.store import Store
from queueops.errors import UnknownJob
from queueops.middleware.control import cancel_one
from queueops.ops import audit, broker, permissions, stopping
from queueops.ops.explaining import Explanation, explained
from queueops.ops.job_info import JobInfo, known
from queueops.ops.permissions import Actor

__all__ = [
    "Cancelled",
    "Changed",
    "Listing",
    "Overdue",
    "cancel",
    "cancel_all",
    "explain",
    "hold",
    "info",
    "listed",
    "overdue",
    "release",
    "retry",
]

#: Seconds that a list looks on when hardly any job matches; its cursor says where to go on.
LIST_SECONDS = 2.0
#: Running jobs that are cancelled together and whose workers' answers are waited for.
ANSWERS = 5


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of jobs. `after`: where to go on; None when that was all. `now_ms`: the broker's time."""

    rows: tuple[JobRow, ...]
    after: str | None
    now_ms: int


@dataclass(frozen=True, slots=True)
class Overdue:
    """Jobs past their deadline that wait or run. `count` is exact unless `after` says there is more."""

    count: int
    rows: tuple[JobRow, ...]
    now_ms: int
    after: str | None


@dataclass(frozen=True, slots=True)
class Changed:
    """What a verb did: the engine's word for each job, by task id, and how many it changed."""

    words: dict[str, str]
    count: int


@dataclass(frozen=True, slots=True)
class Cancelled(Changed):
    """As `Changed`; `notes` says of each job that runs what its worker answered."""

    notes: dict[str, str]


def info(actor: Actor, task_id: str) -> JobInfo:
    """All that is known of a job, living or over.

    Raises:
        PermissionDenied: the actor may not see jobs. Without `view_payload` it is told without arguments.
        UnknownJob: neither the broker nor the database knows the id.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.VIEW_JOBS)
    with broker.store() as store:
        found = known(store, task_id, actor.may(permissions.VIEW_PAYLOAD))
    if found is None:
        raise UnknownJob(task_id)
    return found


def explain(actor: Actor, task_id: str) -> Explanation:
    """Why a job waits, and until when.

    Raises:
        PermissionDenied: the actor may not see jobs.
        UnknownJob: no job of this id waits or runs.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.VIEW_JOBS)
    with broker.store() as store:
        found = explained(store, task_id)
    if found is None:
        raise UnknownJob(task_id)
    return found


def listed(
    actor: Actor,
    *,
    queue: str = "",
    state: str = "",
    org: str = "",
    task: str = "",
    limit: int = 100,
    after: str = "0",
    seconds: float = LIST_SECONDS,
) -> Listing:
    """Jobs that wait or run, in no order; the filters are exact names, "" is any.

    Args:
        limit: rows, about: a page is never cut.
        after: `after` of the listing before.
        seconds: how long to look at most.

    Raises:
        PermissionDenied: the actor may not see jobs.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.VIEW_JOBS)
    # Where every job matches, no more are looked at than are shown.
    look_at = PAGE if queue or state or org or task else min(max(1, limit), PAGE)
    with broker.store() as store:
        rows, cursor = _walk(
            store, after, limit, seconds, look_at, queue=queue, state=state, org=org, task=task
        )
        return Listing(tuple(rows), None if cursor == "0" else cursor, store.now_ms())


def overdue(
    actor: Actor, *, queue: str = "", limit: int = 100, after: str = "0", seconds: float = LIST_SECONDS
) -> Overdue:
    """Jobs past their deadline, the longest overdue first.

    Raises what `listed` raises.
    """
    actor.require(permissions.VIEW_JOBS)
    with broker.store() as store:
        rows, cursor = _walk(store, after, 1_000_000, seconds, queue=queue, overdue=True)
        now_ms = store.now_ms()
    rows.sort(key=lambda row: row.deadline_ms)
    return Overdue(len(rows), tuple(rows[:limit]), now_ms, None if cursor == "0" else cursor)


def _walk(
    store: Store,
    cursor: str,
    limit: int,
    seconds: float,
    look_at: int = PAGE,
    *,
    queue: str = "",
    state: str = "",
    org: str = "",
    task: str = "",
    overdue: bool = False,
) -> tuple[list[JobRow], str]:
    found: dict[str, JobRow] = {}  # a hash that is being rehashed may show an entry twice
    ends = monotonic() + seconds
    while True:
        rows, cursor = store.job_page(
            cursor, queue=queue, state=state, org=org, task=task, overdue=overdue, look_at=look_at
        )
        found |= {row.task_id: row for row in rows}
        if cursor == "0" or len(found) >= limit or monotonic() > ends:
            return list(found.values()), cursor


def retry(actor: Actor, task_ids: Iterable[str]) -> Changed:
    """Have jobs run now that wait for their next attempt, or for their time. Their attempts count as ever.

    Raises:
        PermissionDenied: the actor may not.
        BrokerUnavailable: the broker does not answer.
    """
    return _each(
        actor, permissions.RETRY_JOB, "retry", task_ids, lambda store, one: store.retry(one), "ready"
    )


def cancel(actor: Actor, task_ids: Iterable[str]) -> Cancelled:
    """End jobs for good: what waits is gone at once, what runs is stopped.

    A job that runs is `cancelling` until its worker has stopped it: at once where the worker hears it, else
    at its next renewal. A pool of threads, or solo, cannot stop a run: the thread goes on to its end, and
    whatever it brings the job ends as cancelled; it is not retried and leaves no dead letter.

    Raises:
        PermissionDenied: the actor may not cancel jobs.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.CANCEL_JOB)
    ids = list(dict.fromkeys(task_ids))
    with broker.store() as store:
        done = cancel_all(store, ids)
    audit.record(actor, "cancel", _named(ids), {"jobs": ids[:100]}, done.count)
    return done


def cancel_all(store: Store, ids: Iterable[str]) -> Cancelled:
    """Cancel jobs on behalf of a verb that has asked for its own permission and keeps its own audit entry."""
    words = {task_id: cancel_one(current_app, store, task_id) for task_id in ids}
    running = [task_id for task_id, word in words.items() if word == "cancelling"]
    workers = store.workers() if running else []
    notes: dict[str, str] = {}
    for task_id in running:
        job = store.job(task_id)
        if job is not None and job.lease is not None:
            # The engine has it: what is asked here only saves the time until the worker's next renewal.
            notes[task_id] = stopping.told(
                stopping.ask(job, workers, "cancelled", wait=len(running) <= ANSWERS)
            )
    return Cancelled(words, sum(word != "unknown" for word in words.values()), notes)


def hold(actor: Actor, task_ids: Iterable[str]) -> Changed:
    """Keep jobs from running until `release`; what runs already is left alone (word `leased`).

    Raises what `retry` raises.
    """
    return _each(actor, permissions.HOLD_JOB, "hold", task_ids, lambda store, one: store.hold(one), "held")


def release(actor: Actor, task_ids: Iterable[str], *, from_parents: bool = False) -> Changed:
    """End the hold of jobs: each has the place and the due time it had.

    Args:
        from_parents: they wait for no other job any more either, whatever has become of it.

    Raises what `retry` raises.
    """
    return _each(
        actor,
        permissions.HOLD_JOB,
        "release from parents" if from_parents else "release",
        task_ids,
        lambda store, one: store.release_job(one, from_parents=from_parents),
        "released",
    )


def _named(ids: list[str]) -> str:
    return f"job {ids[0]}" if len(ids) == 1 else f"{len(ids)} jobs"


def _each(
    actor: Actor,
    permission: str,
    verb: str,
    task_ids: Iterable[str],
    act: Callable[[Store, str], str],
    *changing: str,
) -> Changed:
    actor.require(permission)
    ids = list(dict.fromkeys(task_ids))
    with broker.store() as store:
        words = {task_id: act(store, task_id) for task_id in ids}
    count = sum(word in changing for word in words.values())
    audit.record(actor, verb, _named(ids), {"jobs": ids[:100]}, count)
    return Changed(words, count)
