"""Gathers the jobs of batch tasks in a worker's main process until a batch is full, or its time is over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.worker import state
from celery.worker.state import revoked as revoked_ids

from queueops.middleware.batch_handler import Batching, run_together
from queueops.middleware.request import Request

__all__ = ["collector_of"]

#: A batch whose time is over looks again after so long whether its leases were confirmed.
_DOUBT_SECONDS = 0.1


def collector_of(task: Any, consumer: Any, batching: Batching) -> Collector:
    """Return the task's collector in this worker; the same one after a reconnect, with what it holds."""
    collectors: dict[str, Collector] = consumer.__dict__.setdefault("queueops_collectors", {})
    found = collectors.get(task.name)
    if found is None:
        found = collectors[task.name] = Collector(task, consumer, batching)
    found.wake()
    return found


class _Group:
    """Jobs that will run together."""

    __slots__ = ("requests", "since")

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.since = monotonic()


class Collector:
    """The jobs of one task that wait for others.

    A job that waits occupies no slot of the pool, so the worker goes on claiming; its lease is renewed like
    any other. A batch that runs occupies one.
    """

    def __init__(self, task: Any, consumer: Any, batching: Batching) -> None:
        self._task, self._consumer, self._batching = task, consumer, batching
        self._groups: dict[str, _Group] = {}
        self._timers: set[str] = set()
        # The timer of some pools is a thread of its own.
        self._lock = threading.Lock()

    def add(self, request: Request) -> None:
        """Take a job; a full batch starts at once."""
        if request.holder is None:
            self._consumer.on_task_request(request)
            return
        if request.deliveries > 1 or request._request_dict.get("retries"):
            # It has failed with a batch, or has been lost with one: one bad job must not take the same others
            # down again and again.
            if not _is_over(request):
                _run(self._task, self._consumer.pool, [request])
            return
        if not request.holder.park(request.token):
            return  # its lease was lost a moment ago
        org = request.message.delivery_info.get("org") or ""
        key = org if self._batching.per_org else ""
        full: list[Request] | None = None
        with self._lock:
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = _Group()
            group.requests.append(request)
            if len(group.requests) >= self._batching.size:
                full = self._groups.pop(key).requests
        if full is not None:
            self._start(full)
        else:
            self._arm(key, self._batching.seconds)

    def wake(self) -> None:
        """Look at every group again soon: a reconnect may have taken the timers away."""
        with self._lock:
            keys = list(self._groups)
            self._timers.clear()
        for key in keys:
            self._arm(key, 0.0)

    def _arm(self, key: str, seconds: float) -> None:
        # One timer a group, however many batches it makes.
        with self._lock:
            if key in self._timers:
                return
            self._timers.add(key)
        self._consumer.timer.call_after(seconds, self._due, (key,))

    def _due(self, key: str) -> None:
        requests: list[Request] = []
        left = 0.0
        with self._lock:
            self._timers.discard(key)
            group = self._groups.get(key)
            if group is None:
                return
            left = group.since + self._batching.seconds - monotonic()
            if group.requests[0].holder.in_doubt:
                left = max(left, _DOUBT_SECONDS)  # others may have got the jobs while the broker was away
            if left <= 0.001:
                requests = self._groups.pop(key).requests
        if requests:
            self._start(requests)
        else:
            self._arm(key, left)

    def _start(self, requests: list[Request]) -> None:
        holder = requests[0].holder
        wanted = [request for request in requests if not _is_over(request)]
        tokens = holder.unpark([request.token for request in wanted])
        for request in wanted:
            if request.token not in tokens:
                # Given back, lost or cancelled while it waited.
                state.task_ready(request)
        live = [request for request in wanted if request.token in tokens]
        if live:
            _run(self._task, self._consumer.pool, live)


def _is_over(request: Request) -> bool:
    if request.end_if_stopped():
        return True
    return bool(
        (request.expires or request.id in revoked_ids or request.stamped_headers) and request.revoked()
    )


def _run(task: Any, pool: Any, live: list[Request]) -> None:
    """Hand a batch to the pool, and what the pool says of it to each of its jobs."""

    def each(tell: Callable[[Request], Any]) -> None:
        for request in live:
            tell(request)

    def on_return(answer: Any) -> None:
        if isinstance(answer, ExceptionInfo):
            each(lambda request: request.on_failure(answer))
            return
        for request, one in zip(live, answer, strict=True):
            request.on_success(one)

    limits = [request.time_limits for request in live]
    hard = [limit for limit, _ in limits if limit]
    soft = [limit for _, limit in limits if limit]
    messages = [
        (
            request._request_dict,
            request._body,
            request._content_type,
            request._content_encoding,
        )
        for request in live
    ]
    pool.apply_async(
        run_together,
        args=(task, messages),
        accept_callback=lambda pid, at: each(lambda request: request.on_accepted(pid, at)),
        timeout_callback=lambda soft, timeout: each(lambda request: request.on_timeout(soft, timeout)),
        callback=on_return,
        error_callback=lambda info: each(lambda request: request.on_failure(info)),
        soft_timeout=min(soft, default=None) or task.soft_time_limit,
        timeout=min(hard, default=None) or task.time_limit,
        correlation_id=live[0].id,
    )
