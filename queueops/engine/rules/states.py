"""The states of a job and of a dead letter, and which verb leads from which to which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

__all__ = [
    "CELERY_STATES",
    "ENDED",
    "TRANSITIONS",
    "JobState",
    "LetterStatus",
    "OutcomeKind",
    "Reason",
    "can_move",
]


class JobState(StrEnum):
    """Where a job is. "Throttled" is no state: a job whose lane is closed is `ready`; explain says why."""

    #: Waits for its time: an ETA, or the end of a back-off (attempt > 0).
    SCHEDULED = "scheduled"
    #: Waits for other jobs to succeed, or for a person to release it.
    BLOCKED = "blocked"
    #: In its org's lane; runs when a worker asks and every gate is open.
    READY = "ready"
    #: A worker holds it, from the claim to the end of the run.
    LEASED = "leased"
    #: Ran to its end without an error.
    SUCCEEDED = "succeeded"
    #: Given up; the whole message lies in the dead letters.
    DEAD = "dead"
    #: Will not run: somebody said so.
    CANCELLED = "cancelled"


#: States that nothing leads out of; a replay is a new job.
ENDED: Final = frozenset({JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED})

S = JobState
#: verb -> {state before: states after}. None is "no job yet".
TRANSITIONS: Mapping[str, Mapping[JobState | None, frozenset[JobState]]] = {
    "enqueue": {None: frozenset({S.READY, S.SCHEDULED, S.BLOCKED})},
    "promote": {S.SCHEDULED: frozenset({S.READY}), S.BLOCKED: frozenset({S.READY, S.SCHEDULED})},
    "retry": {S.SCHEDULED: frozenset({S.READY})},
    "claim": {S.READY: frozenset({S.LEASED})},
    "renew": {S.LEASED: frozenset({S.LEASED})},
    "release": {S.LEASED: frozenset({S.READY, S.SCHEDULED, S.DEAD})},
    "reap": {S.LEASED: frozenset({S.READY, S.DEAD})},
    # A retry is settled as `retried`: the same job waits for its next attempt.
    "settle": {S.LEASED: frozenset({S.SUCCEEDED, S.DEAD, S.CANCELLED, S.SCHEDULED, S.READY})},
    "cancel": {
        S.SCHEDULED: frozenset({S.CANCELLED}),
        S.BLOCKED: frozenset({S.CANCELLED}),
        S.READY: frozenset({S.CANCELLED}),
        S.LEASED: frozenset({S.CANCELLED}),
    },
    "drain": {
        S.SCHEDULED: frozenset({S.SCHEDULED, S.CANCELLED}),
        S.READY: frozenset({S.SCHEDULED, S.CANCELLED}),
    },
    # A hold waits for a person as a dependency waits for a job; its end brings the job back where it was.
    "hold": {state: frozenset({S.BLOCKED}) for state in (S.READY, S.SCHEDULED, S.BLOCKED)},
    "release_job": {S.BLOCKED: frozenset({S.READY, S.SCHEDULED, S.BLOCKED})},
    "unstick": {S.LEASED: frozenset({S.READY, S.DEAD})},
}
del S


def can_move(verb: str, before: JobState | None, after: JobState) -> bool:
    """Whether `verb` may take a job from `before` (None: no job yet) to `after`."""
    return after in TRANSITIONS.get(verb, {}).get(before, frozenset())


class OutcomeKind(StrEnum):
    """What a settle says about the run that ended."""

    SUCCEEDED = "succeeded"
    RETRIED = "retried"
    DEAD = "dead"
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why a job is dead."""

    #: The last attempt raised.
    FAILED = "failed"
    #: The last attempt ran past its run limit.
    TIMEOUT = "timeout"
    #: The task rejected it without asking for it back.
    REJECTED = "rejected"
    #: The message could not be read.
    UNDECODABLE = "undecodable"
    #: No worker of the queue knows the task.
    UNKNOWN_TASK = "unknown_task"
    #: It expired before it ran.
    EXPIRED = "expired"
    #: Its worker was lost too often, or once where it must not run twice.
    WORKER_LOST = "worker_lost"
    #: Its next attempt could not be published.
    RETRY_REFUSED = "retry_refused"


class LetterStatus(StrEnum):
    """What became of a dead letter."""

    PARKED = "parked"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


#: Celery's result states in our words. PENDING is also what Celery says of an id it has never seen.
CELERY_STATES: Mapping[str, frozenset[JobState]] = {
    "PENDING": frozenset({JobState.SCHEDULED, JobState.BLOCKED, JobState.READY}),
    "RECEIVED": frozenset({JobState.LEASED}),
    "STARTED": frozenset({JobState.LEASED}),
    "RETRY": frozenset({JobState.SCHEDULED}),
    "SUCCESS": frozenset({JobState.SUCCEEDED}),
    "IGNORED": frozenset({JobState.SUCCEEDED}),
    "FAILURE": frozenset({JobState.DEAD}),
    "REJECTED": frozenset({JobState.DEAD, JobState.READY}),
    "REVOKED": frozenset({JobState.CANCELLED}),
}
