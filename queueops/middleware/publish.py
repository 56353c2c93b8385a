"""The publish path: everything that Celery sends as a task passes `AMQP.send_task_message`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP as CeleryAMQP
from celery.app.routes import prepare as celery_routes
from kombu.exceptions import OperationalError

from queueops.conf import config
from queueops.errors import BrokerUnavailable, JobCancelled, JobExists, NotReplicated, PublishError
from queueops.middleware import direct
from queueops.middleware.chain import chain
from queueops.middleware.envelopes import prepare, shown
from queueops.middleware.plan import TaskPlan
from queueops.middleware.producers import Producers, producers_of
from queueops.middleware.routing import Queues, Router, Routes, declared

__all__ = ["AMQP", "Recorder", "answer_refusals", "unavailable"]


class AMQP(CeleryAMQP):
    """Celery's messages, with our queues, our routes and our header."""

    queues_cls = Queues
    _producer_pool: Producers | None = None

    def __init__(self, app: Celery) -> None:
        super().__init__(app)
        self._plans: dict[str, TaskPlan] = {}

    def plan(self, name: str) -> TaskPlan:
        """Return what the task `name` says about itself; a name that is not registered says nothing."""
        # The registry itself, not `app.tasks`: that would finalise an app that only sends.
        task = self.app._tasks.get(name)
        plan = self._plans.get(name)
        if plan is None or plan.task is not task:
            plan = TaskPlan(self.app, name, task)
            # Names come from code; if they were made up for every call, they would fill the memory.
            if len(self._plans) < 10_000:
                self._plans[name] = plan
        return plan

    def Queues(self, queues: Any, *args: Any, **kwargs: Any) -> Queues:
        """Return the queues: those of the project's `task_queues`, or else the declared ones."""
        made: Queues = super().Queues(queues or declared(self.app.conf), *args, **kwargs)
        default = self.app.conf.task_default_queue
        if queues and default not in made:
            made.add(default)
        serve = config().serve
        if serve:
            made._default_consume_from = {name: made[name] for name in serve}
        return made

    @property
    def producer_pool(self) -> Producers:
        """The pool that every publish of the app takes its producer from; made again after a fork."""
        pool = self._producer_pool
        if pool is None:
            self.app._ensure_after_fork()
            pool = self._producer_pool = producers_of(self.app)
        return pool

    publisher_pool = producer_pool

    def as_task_v2(
        self,
        task_id: str,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        *rest: Any,
        argsrepr: str | None = None,
        kwargsrepr: str | None = None,
        **options: Any,
    ) -> Any:
        """Build a message as Celery does, with the shown arguments made faster."""
        if argsrepr is None:
            argsrepr = shown(args or (), self.argsrepr_maxsize)
        if kwargsrepr is None:
            kwargsrepr = shown(kwargs or {}, self.kwargsrepr_maxsize)
        return super().as_task_v2(
            task_id, name, args, kwargs, *rest, argsrepr=argsrepr, kwargsrepr=kwargsrepr, **options
        )

    def Router(self, queues: Any = None, create_missing: bool | None = None) -> Router:
        """Return the router of `send_task`."""
        missing = self.app.either("task_create_missing_queues", create_missing)
        return Router(self.routes, queues or self.queues, missing, app=self.app)

    def flush_routes(self) -> None:
        """Read the routes again: Celery's `task_routes` first, then QUEUEOPS["ROUTES"]."""
        routes = celery_routes(self.app.conf.task_routes)
        self._rtable = [*routes, Routes()]

    def _create_task_sender(self) -> Callable[..., Any]:
        return _sender(self, super()._create_task_sender())


class Recorder:
    """Stands in for a producer where a message is wanted as Celery would send it, but not sent.

    Attributes:
        message: Celery's message.
        queue: the queue it goes to.
        custom: headers that the caller added.
        options: the rest of the call's options.
    """

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self.message: Any = None
        self.queue: Any = None
        self.custom: dict[str, Any] | None = None
        self.options: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)


def _sender(amqp: AMQP, send: Callable[..., Any]) -> Callable[..., Any]:
    queues, conf = amqp.queues, amqp.app.conf
    serializer, default_mode = conf.task_serializer, conf.task_default_delivery_mode

    def send_task_message(
        producer: Any,
        name: str,
        message: Any,
        exchange: Any = None,
        routing_key: Any = None,
        queue: Any = None,
        headers: dict[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        if queue is None and exchange is None:
            queue = amqp.default_queue
        elif type(queue) is str:
            queue = queues[queue]
        if type(producer) is Recorder:
            producer.message, producer.queue = message, queue
            producer.custom, producer.options = headers, options
            return None
        target = queue.name if queue is not None else routing_key if exchange == "" else ""
        envelope = prepare(amqp, name, message, target or "", headers, options)
        body = message.body
        if envelope.args is not body[0] or envelope.kwargs is not body[1]:
            message = message._replace(body=(envelope.args, envelope.kwargs, body[2]))
        if envelope.queue != target and envelope.queue:
            queue = queues[envelope.queue]
            exchange = routing_key = None
        try:
            if queue is not None and queue.exchange.type == "direct":
                # Lanes are made by their first job; a declaration would cost a tenth of the publish.
                options.setdefault("declare", [])
                if not exchange or not routing_key:
                    options.setdefault("delivery_mode", queue.exchange.delivery_mode or default_mode)
                    if direct.put(producer, message, queue.name, options, serializer):
                        return None
                    if "delivery_tag" in options:
                        given = options.get("retry_policy") or {}
                        options["retry_policy"] = one_try_less({**conf.task_publish_retry_policy, **given})
            return send(producer, name, message, exchange, routing_key, queue, **options)
        except (BrokerUnavailable, NotReplicated):
            raise  # it may be enqueued, or it is
        except PublishError as error:
            if isinstance(error, JobExists | JobCancelled):
                error.refused = envelope.task_id
            if not envelope.is_retry:
                for hook in chain().publish_refused:
                    hook(envelope, error)
            raise
        except (OperationalError, *producer.connection.recoverable_connection_errors) as exc:
            raise unavailable(producer.connection, exc) from exc

    return send_task_message


def answer_refusals(app: Celery) -> None:
    """Have `app.send_task`, and with it `apply_async`, answer with a result where a job is not needed.

    That is the result of the job with the same unique key, or one that says REVOKED for a job that is
    cancelled with its dead parent: it makes no difference to the caller whether that died before or after.
    """
    send = app.send_task

    @wraps(send)
    def send_task(*args: Any, **options: Any) -> Any:
        try:
            return send(*args, **options)
        except JobExists as found:
            if found.refused != found.task_id and (consumer := getattr(app.backend, "result_consumer", None)):
                # Celery listens for a result before it publishes; this one will never come.
                consumer.cancel_for(found.refused)
            task_id = found.task_id
        except JobCancelled as cancelled:
            if options.get("retries"):
                raise
            task_id = cancelled.refused
            app.backend.mark_as_revoked(
                task_id, "its parent is dead", store_result=not options.get("ignore_result")
            )
        result = (options.get("result_cls") or app.AsyncResult)(task_id)
        result.ignored = options.get("ignore_result")
        return result

    app.send_task = send_task


def one_try_less(policy: dict[str, Any]) -> dict[str, Any]:
    """Return what is left of a publish's retry policy after it has failed once."""
    tries = policy.get("max_retries")
    return {**policy, "max_retries": None if tries is None else max(0, tries - 1)}


def unavailable(connection: Any, error: BaseException) -> BrokerUnavailable:
    """Return our error for a broker that `connection` could not reach because of `error`."""
    return BrokerUnavailable(
        f"The broker at {connection.as_uri()} did not take the job: {error}. It was not confirmed; "
        "publish it again when the broker is back."
    )
