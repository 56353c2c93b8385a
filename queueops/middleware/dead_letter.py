"""Why a job is dead, and what its letter should tell the person who reads it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject

from queueops.engine.rules.states import Reason

__all__ = [
    "MESSAGE_CHARS",
    "TRACEBACK_CHARS",
    "Cancelled",
    "RetryRefused",
    "attempt_entry",
    "detail",
    "reason_of",
]

#: A letter is kept in Redis until it is a row; a traceback of a recursion must not fill it.
TRACEBACK_CHARS = 16_000
MESSAGE_CHARS = 4_000
#: Characters of the message that an earlier attempt keeps.
ENTRY_CHARS = 500


class Cancelled(Ignore):
    """The attempt failed and there is no next one, because the job was cancelled while it ran."""


class RetryRefused(Reject):
    """The attempt failed and the next one could not be published: the job goes to the dead letters, or, with
    ``requeue`` because the broker was only away, back to its lane.

    Attributes:
        error: class name of what the attempt raised.
        text: its message, and why the publish was refused.
    """

    def __init__(self, error: str = "", text: str = "", requeue: bool = False) -> None:
        self.error, self.text = error, text
        # Strings only: this crosses from the pool's process to the worker's, whatever the task raised.
        super().__init__(text, requeue)
        self.args = (error, text, requeue)

    def __str__(self) -> str:
        return f"{self.error}: {self.text}" if self.error else self.text


def reason_of(error: BaseException | None) -> Reason:
    """Return why a job is dead whose last attempt ended with `error`."""
    if isinstance(error, RetryRefused):
        return Reason.RETRY_REFUSED
    if isinstance(error, Reject):
        return Reason.REJECTED
    if isinstance(error, SoftTimeLimitExceeded | TimeLimitExceeded):
        return Reason.TIMEOUT
    if isinstance(error, WorkerLostError):
        return Reason.WORKER_LOST
    return Reason.FAILED


def detail(
    reason: str,
    *,
    error: BaseException | None = None,
    traceback: str = "",
    worker: str = "",
    run_ms: float = 0,
    attempts: Sequence[Mapping[str, Any]] = (),
    attempt: int = 0,
) -> dict[str, Any]:
    """Return what the dead stream keeps about a death, bounded and fit for JSON.

    Args:
        reason: one of `Reason`; `reason_of` finds it.
        error: the exception of the last attempt.
        traceback: its traceback as text; the end is kept, that is where the error is.
        worker: host name of the worker.
        run_ms: milliseconds that the last attempt ran.
        attempts: the earlier attempts, from the message's header.
        attempt: the number of the attempt that was the last, from 1; 0 if there was none.
    """
    name, message = _told(error)
    if attempt:
        attempts = [*attempts, attempt_entry(attempt, error, worker, run_ms)]
    if len(traceback) > TRACEBACK_CHARS:
        traceback = "[the beginning is cut]\n" + traceback[-TRACEBACK_CHARS:]
    return {
        "reason": str(reason),
        "error": name,
        "message": message,
        "traceback": traceback,
        "worker": worker,
        "run_ms": round(run_ms),
        "attempts": list(attempts),
    }


def attempt_entry(
    n: int, error: BaseException | None, worker: str, run_ms: float | None = None
) -> dict[str, Any]:
    """Return the entry of a failed attempt in a job's history.

    Args:
        n: number of the attempt, from 1.
        error: what it raised, None if nothing.
        worker: host name of the worker.
        run_ms: milliseconds that it ran, None if nobody knows.
    """
    name, message = _told(error)
    now = int(time.time() * 1000)
    entry = {"n": n, "at": now, "error": name, "message": message[:ENTRY_CHARS], "worker": worker}
    return entry if run_ms is None else {**entry, "run_ms": round(run_ms)}


def _told(error: BaseException | None) -> tuple[str, str]:
    if error is None:
        return "", ""
    if isinstance(error, RetryRefused):
        return error.error, error.text[:MESSAGE_CHARS]
    return type(error).__name__, _message(error)


def _message(error: BaseException) -> str:
    try:
        text = str(error) or repr(error)
    except Exception:
        # An exception class of the project whose __str__ fails must not take the letter with it.
        text = object.__repr__(error)
    return text if len(text) <= MESSAGE_CHARS else text[:MESSAGE_CHARS] + " [cut]"
