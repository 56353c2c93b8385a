"""How a worker turns a message into a request: Celery's default strategy without what never happens here.

The broker holds every ETA and every rate, and an end of a run goes straight into the process's outbox; so
a message needs no timer entry, no token bucket and no promises for its acknowledgement. They were a third
of stock's cost a job.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import signals
from celery.app import trace
from celery.exceptions import InvalidTaskError, TaskRevokedError
from celery.utils.imports import symbol_by_name
from celery.utils.log import get_logger
from celery.worker.state import revoked as revoked_ids
from celery.worker.state import task_reserved
from celery.worker.strategy import default as celery_strategy
from celery.worker.strategy import hybrid_to_proto2

from queueops.errors import InvalidMessage
from queueops.middleware.batch_collect import collector_of
from queueops.middleware.batch_handler import batching_of
from queueops.middleware.request import Request
from queueops.transport.messages import check_timelimit

logger = get_logger("celery.worker.strategy")


def strategy(task: Any, app: Any, consumer: Any) -> Callable[..., Any]:
    """Return the message handler of ``task``; a task with a request class that is not ours gets Celery's
    own.
    """
    cls = symbol_by_name(task.Request)
    if not issubclass(cls, Request):
        return celery_strategy(task, app, consumer)  # type: ignore[no-any-return]

    hostname, connection_errors = consumer.hostname, consumer.connection_errors
    eventer = consumer.event_dispatcher
    batching = batching_of(task)
    handle = collector_of(task, consumer, batching).add if batching else consumer.on_task_request
    says_received = logger.isEnabledFor(logging.INFO)
    utc = app.uses_utc_timezone()
    cls = _bound(cls, task, consumer.pool, app)

    def handle_message(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **_: Any) -> None:
        if message.headers.get("task") is None:
            raise InvalidTaskError(
                "task message protocol 1 is not supported: set task_protocol to 2 at the publisher"
            )
        headers, decoded = message.headers, False
        payload = message.payload
        body = message.body
        if isinstance(payload, dict) and "args" in payload:
            body, headers, decoded, _utc = hybrid_to_proto2(message, payload)
            payload = body
        _refuse_other_shapes(payload)
        if limits := headers.get("timelimit"):
            _refuse_other_limits(limits)
        try:
            request = cls(
                message,
                on_ack=ack,
                on_reject=reject,
                app=app,
                hostname=hostname,
                eventer=eventer,
                task=task,
                connection_errors=connection_errors,
                body=body,
                headers=headers,
                decoded=decoded,
                utc=utc,
            )
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # A header that Celery needs is missing or of another type: the next worker could not run it
            # either.
            raise InvalidTaskError(f"the headers are not those of a task message: {error!r}") from error
        if says_received:
            context = {
                "id": request.id,
                "name": request.name,
                "args": request.argsrepr,
                "kwargs": request.kwargsrepr,
                "eta": None,
            }
            logger.info(trace.LOG_RECEIVED, context, extra={"data": context})
        if (request.expires or request.id in revoked_ids or request.stamped_headers) and request.revoked():
            return
        if signals.task_received.receivers:
            signals.task_received.send(sender=consumer, request=request)
        if eventer and eventer.enabled and task.send_events:
            eventer.send(
                "task-received",
                uuid=request.id,
                name=request.name,
                args=request.argsrepr,
                kwargs=request.kwargsrepr,
                root_id=request.root_id,
                parent_id=request.parent_id,
                retries=headers.get("retries", 0),
                eta=None,
                expires=request.expires and request.expires.isoformat(),
            )
        task_reserved(request)
        for callback in callbacks:
            callback(request)
        handle(request)

    return handle_message


def _refuse_other_shapes(payload: Any) -> None:
    # Celery unpacks three parts without looking; an error there would end the worker, and after it the
    # next one.
    if not (
        isinstance(payload, list | tuple)
        and len(payload) == 3
        and isinstance(payload[0], list | tuple)
        and isinstance(payload[1], dict)
    ):
        raise InvalidTaskError("the body is not a task's [args, kwargs, embed]")


def _refuse_other_limits(value: Any) -> None:
    try:
        check_timelimit(value)
    except InvalidMessage as error:
        raise InvalidTaskError(str(error)) from error


def _bound(base: type[Request], task: Any, pool: Any, app: Any) -> type[Request]:
    """Return ``base`` with the task's and the pool's constants looked up once, as Celery's
    ``create_request_cls``.
    """
    hard, soft = task.time_limit, task.soft_time_limit
    apply_async = pool.apply_async
    run = trace.fast_trace_task if app.use_fast_trace_task else trace.trace_task_ret
    # A thread says so before it runs the job, a child when it runs it already.
    accepted = base.on_accepted if pool.uses_semaphore else base.accepted_here

    class BoundRequest(base):  # type: ignore[misc, valid-type]
        def execute_using_pool(self, pool: Any, **_: Any) -> Any:
            if (self.expires or self.id in revoked_ids or self.stamped_headers) and self.revoked():
                raise TaskRevokedError(self.id)
            if not self.may_start():  # it may have waited for a child since it was handed over
                raise TaskRevokedError(self.id)
            time_limit, soft_time_limit = self.time_limits
            result = apply_async(
                run,
                args=(
                    self._type,
                    self.id,
                    self._request_dict,
                    self._body,
                    self._content_type,
                    self._content_encoding,
                ),
                accept_callback=partial(accepted, self),
                timeout_callback=self.on_timeout,
                callback=self.on_success,
                error_callback=self.on_failure,
                soft_timeout=soft_time_limit or soft,
                timeout=time_limit or hard,
                correlation_id=self.id,
            )
            self._apply_result = weakref.ref(result) if result is not None else None
            return result

    return BoundRequest
