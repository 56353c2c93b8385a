"""Which failed attempts count against the resource of their job. The breaker itself is in the broker.

The verdict travels with what ends the attempt: with its settle, or with the publish of the next attempt.
"""

from __future__ import annotations

from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject
from celery.exceptions import Retry as CeleryRetry
from celery.utils.serialization import UnpickleableExceptionWrapper

from queueops.errors import QueueOpsError

__all__ = ["counts"]

#: What a task says on purpose, the loss of a worker, and what queueops itself refuses (a publish, a limit):
#: none of these tells anything about the resource.
_NO_VERDICT = (Ignore, Reject, WorkerLostError, QueueOpsError)
#: An outside thing that hangs is what a breaker is for, whatever else a task lists.
_TIMEOUTS = (SoftTimeLimitExceeded, TimeLimitExceeded)


def counts(task: Any, error: BaseException | None) -> bool:
    """Return whether an attempt of `task` that ended with `error` is a failure of its resource.

    The task's `breaker_ignores` never count. Its `breaker_errors` are all that count beside timeouts; without
    them every exception counts but those of `no_retry`, which speak about the job.
    """
    if isinstance(error, CeleryRetry):
        error = error.exc if isinstance(error.exc, BaseException) else None
    if error is None or isinstance(error, _NO_VERDICT):
        return False
    if _is_one(error, getattr(task, "breaker_ignores", ())):
        return False
    if isinstance(error, _TIMEOUTS):
        return True
    listed = getattr(task, "breaker_errors", None)
    if listed is not None:
        return _is_one(error, listed)
    return not _is_one(error, getattr(task, "no_retry", ()))


def _is_one(error: BaseException, given: Any) -> bool:
    classes = (given,) if isinstance(given, type) else tuple(given or ())
    if isinstance(error, classes):
        return True
    # From a child comes an exception that cannot be pickled as a stand-in that knows only its name.
    return isinstance(error, UnpickleableExceptionWrapper) and any(
        (error.exc_module, error.exc_cls_name) == (cls.__module__, cls.__name__) for cls in classes
    )
