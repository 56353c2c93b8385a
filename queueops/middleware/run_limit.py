"""Run limits in a prefork worker, for jobs that each have one: one look a second instead of a timer a job.

Celery sets a timer in the event loop for each job with a limit, and a cancelled timer stays there until it
would have fired. With the 300 seconds that every job has here, a worker that runs 2,000 jobs a second would
keep 600,000 dead timers, 280 MB of them.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from celery import bootsteps
from celery.concurrency.asynpool import AsynPool

__all__ = ["RunLimits"]

#: Seconds from which a limit may be noticed a second late; shorter ones keep Celery's exact timer.
_COARSE = 10.0


class RunLimits(bootsteps.StartStopStep):
    """Consumer step that puts the watch into the pool, again after each reconnect."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def register_with_event_loop(self, c: Any, hub: Any) -> None:
        """Called when the pool has registered itself, and made its own timers, just before."""
        pool = getattr(c.pool, "_pool", None)
        if isinstance(pool, AsynPool):
            watch = getattr(pool, "queueops_watch", None)
            if watch is None:
                # With the pool, not with the step: its jobs outlive a connection.
                watch = pool.queueops_watch = _Watch(pool)
            watch.take_over(hub)


class _Watch:
    """The jobs of a pool that run under a long limit: by the pool's number, when they are to be stopped."""

    def __init__(self, pool: AsynPool) -> None:
        self._pool = pool
        self._running: dict[int, tuple[float | None, float | None]] = {}
        self._timer: Any = None

    def take_over(self, hub: Any) -> None:
        """Stand before the pool's own timers and look at the running jobs each second."""
        exact_set, exact_cancel, running = (
            self._pool.on_timeout_set,
            self._pool.on_timeout_cancel,
            self._running,
        )

        def on_timeout_set(result: Any, soft: float | None, hard: float | None) -> None:
            if (soft or hard or 0.0) < _COARSE:
                exact_set(result, soft, hard)
                return
            now = monotonic()
            running[result._job] = (now + soft if soft else None, now + hard if hard else None)

        def on_timeout_cancel(result: Any) -> None:
            if running.pop(result._job, None) is None:
                exact_cancel(result)

        self._pool.on_timeout_set, self._pool.on_timeout_cancel = on_timeout_set, on_timeout_cancel
        if self._timer is not None:
            self._timer.cancel()
        self._timer = hub.call_repeatedly(1.0, self.look)

    def look(self) -> None:
        """Stop what is over its limit: first softly, so that the task may clean up, then for good."""
        now, pool = monotonic(), self._pool
        for job, (soft, hard) in list(self._running.items()):
            result = pool._cache.get(job)
            if result is None:
                # It has ended, and its child died before it could say so.
                self._running.pop(job, None)
            elif hard is not None and now >= hard:
                self._running.pop(job, None)
                pool.on_hard_timeout(result)
            elif soft is not None and now >= soft:
                self._running[job] = (None, hard)
                pool.on_soft_timeout(result)
