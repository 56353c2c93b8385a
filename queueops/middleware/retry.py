"""Automatic retries: whether a failed attempt is followed by another one, when, and its history."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Any

from celery._state import get_current_worker_task
from celery.app.task import Task
from celery.exceptions import Ignore, Reject
from celery.exceptions import Retry as CeleryRetry

from queueops.conf import config
from queueops.engine.rules.backoff import RetryPolicy, policy_from
from queueops.errors import BrokerUnavailable, JobCancelled, StaleLease
from queueops.middleware.breaker import counts
from queueops.middleware.chain import Envelope, Job, Middleware
from queueops.middleware.dead_letter import Cancelled, RetryRefused, attempt_entry

__all__ = ["Retry", "asked_for_retry", "policy_of", "with_attempt"]

#: Attempts kept in the header; the last ones tell why a job is in trouble.
HISTORY = 20
#: Longest wait in seconds that an exception's `retry_after` may ask for: a typo must not park a job.
LONGEST_RETRY_AFTER = 86_400.0


class Retry(Middleware):
    """Retries failed attempts by the policy of their queue, task or call.

    A task that sets `autoretry_for` or calls `self.retry` owns its attempts; `celery.*` tasks are left alone.

    Args:
        source: where jitter is drawn from; a seeded one makes the delays repeatable.
    """

    def __init__(self, source: random.Random | None = None) -> None:
        self._source = source or random.Random()

    def before_publish(self, envelope: Envelope) -> None:
        """Keep a call's own policy with the job; write down the attempt that a task's own retry follows."""
        if not envelope.plan.ours:
            return
        if not envelope.is_retry:
            options = envelope.options
            if "retry_policy" in options or "attempts" in options:
                envelope.header["retry"] = own_policy(options)
            return
        attempts = envelope.header.get("attempts")
        retries = envelope.headers["retries"]
        if attempts and attempts[-1]["n"] >= retries:
            return
        # Not from `on_error` below: the task asked for this attempt by itself.
        task = get_current_worker_task()
        worker = task.request.hostname or "" if task is not None else ""
        envelope.header = with_attempt(envelope.header, retries, sys.exc_info()[1], worker)
        envelope.header["own"] = True

    def on_error(self, job: Job, error: Exception) -> Exception | None:
        """Publish the next attempt, if there is to be one, and return what tells Celery so."""
        if isinstance(error, Reject) and asked_for_retry(error.__traceback__):
            return _refused(error, error.__context__ or error)
        delay = self.delay_after(job, error)
        return None if delay is None else _publish(job, error, delay)

    def delay_after(self, job: Job, error: Exception) -> float | None:
        """Return the seconds until the next attempt, or None if this was the last one."""
        if owns_attempts(job, error) or isinstance(error, getattr(job.task, "no_retry", None) or ()):
            return None
        policy = policy_of(job)
        if policy.exhausted(job.attempt):
            return None
        delay = policy.delay(job.attempt, self._source)
        wanted = getattr(error, "retry_after", None)
        if isinstance(wanted, int | float) and math.isfinite(wanted):
            delay = max(delay, min(float(wanted), LONGEST_RETRY_AFTER))
        return delay


def owns_attempts(job: Job, error: Exception) -> bool:
    """Whether the task itself decides about its attempts."""
    return (
        not job.plan.ours
        or isinstance(error, CeleryRetry | Ignore | Reject)
        or bool(getattr(job.task, "autoretry_for", ()))
        or bool(job.header.get("own"))
        or asked_for_retry(error.__traceback__)
    )


def asked_for_retry(trace: TracebackType | None) -> bool:
    """Whether an exception came out of `self.retry`, as the last one does when the retries are used up."""
    code = Task.retry.__code__
    while trace is not None:
        if trace.tb_frame.f_code is code:
            return True
        trace = trace.tb_next
    return False


def policy_of(job: Job) -> RetryPolicy:
    """Return the policy of a job: the call's over the task's over the queue's."""
    policy = job.plan.policy(config().retry_policy(job.queue))
    own = job.header.get("retry")
    return policy_from(own, policy) if own else policy


def own_policy(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the options of a call say about its attempts, fit for JSON; a mistake is said here."""
    given = options.get("retry_policy")
    own = asdict(given) if isinstance(given, RetryPolicy) else dict(given or ())
    if options.get("attempts") is not None:
        own["attempts"] = options["attempts"]
    policy_from(own, config().retry_policies["standard"])
    return own


def with_attempt(
    header: Mapping[str, Any],
    n: int,
    error: BaseException | None,
    worker: str,
    run_ms: float | None = None,
) -> dict[str, Any]:
    """Return a copy of the header with one more failed attempt in its history.

    Args:
        header: the job's queueops header.
        n: number of the attempt, from 1.
        error: what it raised, None if nothing.
        worker: host name of the worker.
        run_ms: milliseconds that it ran, None if nobody knows.
    """
    earlier = header.get("attempts", ())[1 - HISTORY :]
    return {**header, "attempts": [*earlier, attempt_entry(n, error, worker, run_ms)]}


def _publish(job: Job, error: Exception, delay: float) -> Exception:
    request = job.request
    header = with_attempt(job.header, job.attempt, error, request.hostname or "", job.run_ms)
    options: dict[str, Any] = {"headers": {**(request.headers or {}), "queueops": header}}
    token = (request.delivery_info or {}).get("token")
    if token:
        options["queueops_supersedes"] = token
    if job.resource and counts(job.task, error):
        options["queueops_failed"] = True
    try:
        job.task.retry(exc=error, countdown=delay, max_retries=request.retries + 1, **options)
    except CeleryRetry as retry:
        published: Exception = retry
        return published
    except Reject as refused:
        return _refused(refused, error)
    raise AssertionError("Task.retry returned without raising")


def _refused(refused: Reject, error: BaseException) -> RetryRefused | Ignore:
    # Celery's `Reject` holds why the publish failed; a reader first looks for the attempt's own error.
    cause = refused.reason
    if isinstance(cause, StaleLease):
        # Not ours any more: another delivery of the job runs or waits, and its outcome counts.
        return Ignore(f"{error}; {cause}")
    if isinstance(cause, JobCancelled):
        return Cancelled(f"{error}; {cause}")
    text = f"{error}; the next attempt could not be published: {type(cause).__name__}: {cause}"
    # A broker that is away is back later: then this attempt runs again. If it did take the next one, and only
    # its answer was lost, the lease has ended with it and giving the job back changes nothing.
    return RetryRefused(type(error).__name__, text, requeue=isinstance(cause, BrokerUnavailable))
