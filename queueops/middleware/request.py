"""A job in a worker's main process. Its lease ends when the run ends, never at Celery's acknowledgement.

Celery acknowledges when a job starts, or when it ends, or not at all, by half a dozen options. Here all of
them come down to one settle with the outcome of the run; ``acks_late`` only decides what happens when the
lease or the child is lost: the job goes back to its lane, or (False) it becomes a dead letter and never runs
twice.
"""

from __future__ import annotations

import signal
from enum import StrEnum
from functools import partial
from time import monotonic, time
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject, TaskRevokedError
from celery.exceptions import Retry as CeleryRetry
from celery.worker import request as stock
from celery.worker import state

from queueops.conf import config
from queueops.engine.rules.states import Reason
from queueops.middleware import payloads
from queueops.middleware.breaker import counts
from queueops.middleware.dead_letter import Cancelled, RetryRefused, detail, reason_of
from queueops.middleware.run import failed_elsewhere

#: Delay before a job may be claimed again that its task rejected with ``requeue=True``, or whose next attempt
#: the broker, being away, did not take.
REQUEUE_DELAY_MS = 5_000
#: The deaths that an attempt's own error caused; any other says nothing about the job's resource.
_ATTEMPT_FAILED = frozenset({Reason.FAILED, Reason.TIMEOUT})


class Stop(StrEnum):
    """How a lease ends whose run was stopped from outside."""

    CANCELLED = "cancelled"
    GIVEN_BACK = "given_back"
    DEAD = "dead"


class Stopped(Exception):
    """An operator stopped the run, which took too long."""


class Request(stock.Request):
    """Celery's request; every end of a run settles the lease, straight into the process's outbox."""

    _outcome = ""
    #: How the lease will end, once the run that is being stopped has ended.
    _stop: Stop | None = None
    _stopping_pool: Any = None
    _started_at: float | None = None

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        info = message.delivery_info or {}
        self.token: str = info.get("token") or ""
        self.holder: Any = message.channel.holder if self.token else None
        self.deliveries: int = info.get("deliveries", 1)
        if self.token:
            # The child finds its token here when it publishes its own retry.
            for name in ("token", "queue", "org", "deliveries", "claimed_ms"):
                self._delivery_info[name] = info.get(name)
        if eta := message.properties.get("queueops_eta"):
            # Hidden from Celery's timers, not from the task: its request says what it was published with.
            self._request_dict["eta"] = eta

    # How a run may end

    def acknowledge(self) -> None:
        """Settle as succeeded; the calls that Celery makes for other reasons are overridden below."""
        if self.holder is None:
            super().acknowledge()
        else:
            self._settle("succeeded")

    def reject(self, requeue: bool = False) -> None:
        """Give the job back after a while, counted; or bury it."""
        if self.holder is None:
            super().reject(requeue)
        elif requeue:
            self._give_back(REQUEUE_DELAY_MS, Reject("requeued too often"), Reason.REJECTED)
        else:
            self._bury(Reject("rejected"), Reason.REJECTED)

    def _settle(
        self,
        outcome: str,
        run_ms: float | None = None,
        letter: dict[str, Any] | None = None,
        failed: bool = False,
    ) -> None:
        if self._outcome:
            return
        self._outcome, self.acknowledged = outcome, True
        if outcome in ("succeeded", "cancelled") and (
            payload := (self._request_dict.get("queueops") or {}).get("offload")
        ):
            self.holder.then(self.token, partial(payloads.ended, payload))
        self.holder.settle(self.token, outcome, run_ms, letter, failed)

    def _give_back(self, delay_ms: int, error: BaseException, reason: str) -> None:
        if self._outcome:
            return
        self._outcome, self.acknowledged = "released", True
        self.holder.give_back(self.token, delay_ms=delay_ms, lost=True, detail=self._letter(error, reason))

    def _bury(self, error: BaseException, reason: str, traceback: str = "") -> None:
        failed = reason in _ATTEMPT_FAILED and counts(self.task, error)
        self._settle("dead", letter=self._letter(error, reason, traceback), failed=failed)

    def _letter(self, error: BaseException, reason: str, traceback: str = "") -> dict[str, Any]:
        header = self._request_dict.get("queueops") or {}
        return detail(
            reason,
            error=error,
            traceback=traceback,
            worker=self.hostname,
            run_ms=self._ran_seconds() * 1000,
            attempts=header.get("attempts") or (),
            attempt=int(self._request_dict.get("retries") or 0) + 1,
        )

    def _ran_seconds(self) -> float:
        return monotonic() - self._started_at if self._started_at is not None else 0.0

    # Stopped from outside

    def stop(self, pool: Any, end: Stop) -> str:
        """Stop the run; the lease ends as ``end`` says when the run has. Returns a word of ``stop_run``.

        Where the pool cannot stop it, a cancelled job still ends as cancelled, whatever the run brings.
        """
        if self._outcome:
            return "over"
        self._stop, self._stopping_pool = end, pool
        if self._started_at is not None:
            return self._stop_run()
        result = self._apply_result() if self._apply_result is not None else None
        if (future := getattr(result, "f", None)) is not None and future.cancel():  # a thread had not begun
            self._end_stopped()
        return "stopping"

    def _stop_run(self) -> str:
        try:
            self._stopping_pool.terminate_job(self.worker_pid, signal.SIGKILL)
        except NotImplementedError:
            if self._stop is not Stop.CANCELLED:
                self._stop = None
            return "runs on"
        return "stopping"

    def end_if_stopped(self) -> bool:
        """End a job that was stopped before the pool had it; returns whether it was."""
        if self._stop is None or self._outcome:
            return False
        self._end_stopped()
        return True

    def _end_stopped(self) -> None:
        stock.task_ready(self)
        error = Stopped("An operator stopped the run, which took too long.")
        if self._stop is Stop.CANCELLED:
            self._announce_revoked("terminated", True, signal.SIGKILL, False)
        elif self._stop is Stop.GIVEN_BACK:
            self._give_back(0, error, Reason.WORKER_LOST)
        else:
            self._bury(error, Reason.WORKER_LOST)

    def _is_stopped(self, ended_by_itself: bool) -> bool:
        """Whether the end of the run is the end that was asked for; what ended by itself is not run again."""
        return self._stop is not None and (self._stop is Stop.CANCELLED or not ended_by_itself)

    # What the pool says

    def may_start(self) -> bool:
        """Whether a job that may have waited for a slot of the pool is to be started.

        Not when it was stopped meanwhile, nor when its lease was lost or is too old to be trusted: then
        another worker may run it, and it goes back.
        """
        if self.holder is None:
            return True
        if self._outcome or self.end_if_stopped():
            return False
        if self.holder.may_start(self.token):
            return True
        stock.task_ready(self)
        self._outcome, self.acknowledged = "released", True
        self.holder.give_back(self.token)
        return False

    def accepted_here(self, pid: int, time_accepted: float) -> None:
        """A thread of this process is about to run the job; raises :class:`TaskRevokedError` to keep it from
        that.
        """
        if not self.may_start():
            raise TaskRevokedError(self.id)
        self.on_accepted(pid, time_accepted)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """The pool runs the job: the lease goes on."""
        self.worker_pid = pid
        self._started_at = time_accepted
        self.time_start = time() - (monotonic() - time_accepted)
        stock.task_accepted(self)
        if self.holder is None:
            if not self.task.acks_late:
                self.acknowledge()
        else:
            self.holder.started(self.token, time_accepted)
        self.send_event("task-started")
        if self._terminate_on_ack is not None:
            self.terminate(*self._terminate_on_ack)
        elif self._stop is not None:
            self._stop_run()

    def on_success(self, failed__retval__runtime: Any, **options: Any) -> None:
        """The run ended and its result is stored."""
        failed, value, runtime = failed__retval__runtime
        if failed:
            error = _unwrapped(value.exception)
            if isinstance(error, SystemExit | KeyboardInterrupt):
                raise error
            self.on_failure(value, return_ok=True)
            return
        # A greenlet that was killed comes out as a success without a run time.
        if self._is_stopped(ended_by_itself=runtime is not None):
            self._end_stopped()
            return
        stock.task_ready(self, successful=True)
        if self.holder is None:
            if self.task.acks_late:
                self.acknowledge()
        else:
            self._settle("succeeded", runtime * 1000)
        self.send_event("task-succeeded", result=value, runtime=runtime)

    def on_retry(self, exc_info: Any) -> None:
        """The next attempt is published; its script has ended this lease, so the settle will find nothing."""
        if self.holder is not None:
            self._settle("cancelled" if self._stop is Stop.CANCELLED else "retried")
        super().on_retry(exc_info)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """The run failed: settle first by what failed, then let Celery store results and tell listeners."""
        error = _unwrapped(exc_info.exception)
        if self.holder is None or self._outcome:
            super().on_failure(exc_info, send_failed_event, return_ok)
            return
        if self._is_stopped(ended_by_itself=not isinstance(error, _KILLED)):
            self._end_stopped()
            return
        if isinstance(error, Terminated) and not (self._already_revoked or self._already_cancelled):
            # The child was killed for another job, which had just ended in it.
            error = WorkerLostError("the child was killed to stop another job")
            exc_info = self._worker_lost_info(error)
        if isinstance(error, SystemExit | KeyboardInterrupt) and not (
            self._already_revoked or self._already_cancelled
        ):
            exc_info = self._worker_lost_info(error)
            error = _unwrapped(exc_info.exception)
        if isinstance(error, WorkerLostError):
            if self._success_was_stored():
                self._settle("succeeded")  # Celery's own way ends only what is acknowledged late
            elif self._child_lost(error):
                stock.task_ready(self)
                return
        elif isinstance(error, Cancelled):
            self._announce_revoked("cancelled", False, None, False)
            return
        elif isinstance(error, TimeLimitExceeded):
            if self._next_attempt(error):
                stock.task_ready(self)
                return
            self._bury(error, Reason.TIMEOUT, str(exc_info.traceback))
        elif isinstance(error, RetryRefused) and error.requeue:
            self._give_back(REQUEUE_DELAY_MS, error, Reason.RETRY_REFUSED)
        elif (isinstance(error, Reject) and not error.requeue) or not isinstance(error, _NO_FAILURE):
            self._bury(error, reason_of(error), str(exc_info.traceback))
        super().on_failure(exc_info, send_failed_event, return_ok)

    def _child_lost(self, error: WorkerLostError) -> bool:
        """Settle a job whose child died; returns whether it will run again."""
        may_run_again = self.task.acks_late and not (self._request_dict.get("queueops") or {}).get("once")
        if may_run_again and self.deliveries < config().delivery_limit:
            self._give_back(0, error, Reason.WORKER_LOST)
            return True
        self._bury(error, Reason.WORKER_LOST)
        return False

    def _next_attempt(self, error: TimeLimitExceeded) -> bool:
        """Publish the attempt after a hard time limit, which only this process saw; True if there is one, or
        if this one runs again because the broker is away.
        """
        answer = failed_elsewhere(self._app, self.task, self._context, error, self._ran_seconds())
        if isinstance(answer, Cancelled):
            self._announce_revoked("cancelled", True, None, False)
            return True
        if isinstance(answer, RetryRefused) and answer.requeue:
            self._give_back(REQUEUE_DELAY_MS, answer, Reason.RETRY_REFUSED)
            return True
        if isinstance(answer, Ignore):
            # The lease was lost before: another delivery runs or waits, and its outcome counts.
            self._settle("retried")
            return True
        if not isinstance(answer, CeleryRetry):
            return False
        self._settle("retried")
        self.task.backend.mark_as_retry(self.id, error, None, request=self._context)
        self.send_event("task-retried", exception=repr(error), traceback="")
        return True

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """A time limit passed. At the hard one the child is killed and the attempt is over."""
        if soft or self.holder is None or state.should_terminate:
            super().on_timeout(soft, timeout)
            return
        if self._stop is not None and not self._outcome:
            self._end_stopped()
            return
        if self._outcome not in ("", "dead"):
            return  # on_failure was first: there is a next attempt, this one runs again, or it was cancelled
        error = TimeLimitExceeded(timeout)
        if not self._outcome and self._next_attempt(error):
            stock.task_ready(self)
            stock.error(
                "Hard time limit (%ss) exceeded for %s[%s]: next attempt published",
                timeout,
                self.name,
                self.id,
            )
            return
        self._bury(error, Reason.TIMEOUT)
        super().on_timeout(soft, timeout)

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        if self.holder is not None:
            if expired:
                self._bury(TimeoutError("the message expired before a worker could start it"), Reason.EXPIRED)
            else:
                self._settle("cancelled")
        super()._announce_revoked(reason, terminated, signum, expired)


#: The run did not end by itself.
_KILLED = (Terminated, WorkerLostError, TimeLimitExceeded, SystemExit)

#: Not a failed attempt: Celery's own path settles these. WorkerLostError only comes here after its task has
#: stored SUCCESS.
_NO_FAILURE = (
    Terminated,
    SystemExit,
    KeyboardInterrupt,
    Reject,
    Ignore,
    CeleryRetry,
    WorkerLostError,
)


def _unwrapped(error: Any) -> Any:
    return error.exc if isinstance(error, ExceptionWithTraceback) else error
