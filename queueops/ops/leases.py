"""The verbs of leases that last too long: stuck, unstick, recover."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from queueops.engine.job_types import JobRow, JobSnapshot
from queueops.engine.rules.states import JobState, Reason
from queueops.engine.store import STEP, Store
from queueops.engine.types import Settlement
from queueops.errors import UnknownJob
from queueops.ops import audit, broker, permissions, stopping
from queueops.ops.permissions import Actor

__all__ = ["Recovered", "Stuck", "Unstuck", "recover", "stuck", "unstick"]

#: A worker that stops a run has so long to end the lease.
STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Stuck:
    """A job that has been leased for too long."""

    row: JobRow
    seconds: float
    past_run_limit: bool


@dataclass(frozen=True, slots=True)
class Unstuck:
    """What `unstick` did. `word` is "given_back", "dead", "over" (it ended meanwhile), "refused" (it may be
    alive, so nobody else gets it) or "not_leased"; `told` says it in a sentence.
    """

    task_id: str
    word: Literal["given_back", "dead", "over", "refused", "not_leased"]
    told: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """`count` leases were ended. `waiting`: expired ones are left, whose workers still have time to renew."""

    count: int
    waiting: bool


def stuck(actor: Actor, *, minutes: float = 10.0, queue: str = "") -> list[Stuck]:
    """Jobs that are leased for longer than so many minutes, or past their run limit; the longest first.

    Raises:
        PermissionDenied: the actor may not see jobs.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.VIEW_JOBS)
    with broker.store() as store:
        now_ms = store.now_ms()
        since_ms = now_ms - int(minutes * 60_000)
        rows, _ = store.job_page(
            queue=queue, state=JobState.LEASED.value, claimed_before_ms=since_ms, now_ms=now_ms
        )
    return sorted((_stuck(row, now_ms - row.at_ms) for row in rows), key=lambda one: -one.seconds)


def unstick(actor: Actor, task_id: str, *, to: Literal["lane", "dead"] = "lane") -> Unstuck:
    """Stop a job that runs, fence its lease, and give it back to its lane, or to the dead letters.

    A living job is never handed to a second worker. So it goes back to its lane only when its worker says
    that the run has ended (prefork kills the child, gevent the greenlet) or when its lease has lapsed.
    Threads and solo cannot stop a run: then it can only become a dead letter, and what the thread still
    does is not recorded.

    Args:
        to: "lane", counted as a delivery, or "dead".

    Raises:
        PermissionDenied: the actor may not unstick jobs.
        UnknownJob: no job of this id waits or runs.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.UNSTICK_JOB)
    with broker.store() as store:
        job = store.job(task_id)
        if job is None:
            raise UnknownJob(task_id)
        done = _unstick(store, job, to)
    count = int(done.word in ("given_back", "dead"))
    audit.record(actor, "unstick", f"job {task_id}", {"to": to, "done": done.word}, count)
    return done


def _stuck(row: JobRow, held_ms: int) -> Stuck:
    return Stuck(row, held_ms / 1000, bool(row.run_limit_ms) and held_ms > row.run_limit_ms)


def _unstick(store: Store, job: JobSnapshot, to: str) -> Unstuck:
    if job.lease is None:
        return Unstuck(job.task_id, "not_leased", f"It is {job.state}: no worker has it.")
    if job.lease.expires_ms < job.now_ms and to == "lane":
        return _reaped(store, job)
    answer = stopping.ask(job, store.workers(), "dead" if to == "dead" else "given_back")
    told = stopping.told(answer)
    if answer in ("stopping", "over"):
        ended = _ended(store, job, to if answer == "stopping" else "")
        if ended is not None:
            return ended
        told += ", and had not done so 10 seconds later"
    if to == "dead":
        return _fenced(store, job, told)
    return Unstuck(
        job.task_id,
        "refused",
        f"Nothing was changed: {told}, so it may be alive and nobody else may have it. "
        "Send it to the dead letters, or stop its worker.",
    )


def _ended(store: Store, job: JobSnapshot, to: str) -> Unstuck | None:
    """What became of the job once its lease has ended; None if it does not end."""
    assert job.lease is not None
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        now = store.job(job.task_id)
        if now is None and to == "dead":
            return Unstuck(job.task_id, "dead", "The run was stopped, and the job is a dead letter.")
        if now is None:
            return Unstuck(job.task_id, "over", "The run ended, or it was stopped and may not run again.")
        if now.lease is None or now.lease.token != job.lease.token:
            return Unstuck(job.task_id, "given_back", "The run was stopped and the job is back in its lane.")
        time.sleep(0.05)
    return None


def _fenced(store: Store, job: JobSnapshot, told: str) -> Unstuck:
    assert job.lease is not None
    detail = {
        "reason": Reason.WORKER_LOST.value,
        "error": "Stopped",
        "message": "An operator ended the lease, which lasted too long.",
        "worker": job.lease.holder,
        "run_ms": job.now_ms - job.lease.claimed_ms,
    }
    [word] = store.settle([Settlement(job.lease.token, "dead", float(detail["run_ms"]), detail)])  # type: ignore[arg-type]
    if word == "stale":
        return Unstuck(job.task_id, "over", "Its lease had just ended.")
    return Unstuck(
        job.task_id, "dead", f"It is a dead letter; {told}. What that run still reports is refused."
    )


def _reaped(store: Store, job: JobSnapshot) -> Unstuck:
    store.reap(STEP)
    now = store.job(job.task_id)
    if now is None:
        return Unstuck(
            job.task_id, "over", "Its lease had lapsed; it may not run again and is a dead letter."
        )
    if now.state != JobState.LEASED:
        return Unstuck(job.task_id, "given_back", "Its lease had lapsed, and it is back in its lane.")
    return Unstuck(
        job.task_id,
        "refused",
        "Its lease has lapsed, and the broker gives the living time to renew. Try `recover`.",
    )


def recover(actor: Actor, *, seconds: float | None = None) -> Recovered:
    """End expired leases now; their jobs go back to their lanes, or to the dead letters as workers do it.

    Workers do this each second. Without any the broker's pulse has stopped, and nothing is ended until it has
    beaten for one lease length, so that the living can renew; `recover` beats it.

    Args:
        seconds: how long to wait for that at most; None is a lease length and a little.

    Raises:
        PermissionDenied: the actor may not.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.RECOVER)
    total = 0
    with broker.store() as store:
        ends = time.monotonic() + (store.lease_ms / 1000 + 2 if seconds is None else seconds)
        while True:
            number = store.reap(STEP)
            total += number
            left = store.expired_holders()
            if not left or (not number and time.monotonic() > ends):
                break
            if not number:
                time.sleep(min(1.0, max(0.0, ends - time.monotonic())))
    audit.record(actor, "recover", "expired leases", count=total)
    return Recovered(total, bool(left))
