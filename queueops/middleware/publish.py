"""The publish path: everything that Celery sends as a task passes `AMQP.send_task_message`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import Celery
from celery._state import get_current_worker_task
from celery.app.amqp import AMQP as CeleryAMQP
from celery.app.routes import prepare as celery_routes
from kombu.exceptions import OperationalError

from queueops.conf import config
from queueops.engine.rules import priority as priorities
from queueops.engine.rules.backoff import RetryPolicy
from queueops.errors import BrokerUnavailable, InvalidMessage
from queueops.middleware.chain import Envelope, chain
from queueops.middleware.options import CALL_OPTIONS, TaskPlan, plan_of
from queueops.middleware.org import check_org, check_resource
from queueops.middleware.routing import Queues, Routes, declared

__all__ = ["AMQP", "header_of", "prepare", "unavailable"]

_POLICY_FIELDS = frozenset(RetryPolicy.__dataclass_fields__)


class AMQP(CeleryAMQP):
    """Celery's messages, with our queues, our routes and our header."""

    queues_cls = Queues

    def __init__(self, app: Celery) -> None:
        super().__init__(app)
        #: What the tasks say about themselves, by name.
        self.plans: dict[str, TaskPlan] = {}

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

    def flush_routes(self) -> None:
        """Read the routes again: Celery's `task_routes` first, then QUEUEOPS["ROUTES"]."""
        routes = celery_routes(self.app.conf.task_routes)
        self._rtable = [*routes, Routes()]

    def _create_task_sender(self) -> Callable[..., Any]:
        return _sender(self, super()._create_task_sender())


def _sender(amqp: AMQP, send: Callable[..., Any]) -> Callable[..., Any]:
    queues = amqp.queues

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
        target = queue.name if queue is not None else routing_key if exchange == "" else ""
        envelope = prepare(amqp, name, message, target or "", headers, options)
        if envelope.queue != target and envelope.queue:
            queue, exchange, routing_key = queues[envelope.queue], None, None
        try:
            return send(producer, name, message, exchange, routing_key, queue, **options)
        except BrokerUnavailable:
            raise
        except (OperationalError, *producer.connection.recoverable_connection_errors) as exc:
            raise unavailable(producer.connection, exc) from exc

    return send_task_message


def prepare(
    amqp: AMQP,
    name: str,
    message: Any,
    queue: str,
    custom: dict[str, Any] | None,
    options: dict[str, Any],
) -> Envelope:
    """Decide what queueops says about a message, write it into the message, and return it.

    Args:
        amqp: the app's AMQP.
        name: the task's name.
        message: Celery's message (headers, properties, body, event); its headers are changed.
        queue: the name of the queue it goes to, "" for an exchange that has no queue of its own.
        custom: headers that the caller added; a retry's carry our header of the attempt before.
        options: what is left of the call's options; ours are taken out, `priority` is set.

    Raises:
        PublishError: a name, a priority or a message that is refused; or whatever a member raises.
    """
    headers = message.headers
    if "id" not in headers:
        raise InvalidMessage(f"{name} was built for task_protocol 1; queueops needs task_protocol 2.")
    own = {key: options.pop(key) for key in CALL_OPTIONS if key in options}
    policy = options.get("retry_policy")
    if policy is not None and (isinstance(policy, RetryPolicy) or _POLICY_FIELDS.issuperset(policy)):
        # Celery's option of that name is about the publish; its keys are others than ours.
        own["retry_policy"] = options.pop("retry_policy")
    before: dict[str, Any] | None = None
    if custom:
        before = custom.get("queueops")
        headers.update(custom)
    plan = plan_of(amqp.app, name, amqp.plans)
    if headers["retries"]:
        _supersede(headers["id"], options)
    if before is not None and headers["retries"]:
        envelope = _retried(before, queue, message, own, plan)
    else:
        envelope = _first(before, queue, message, own, plan, options)
    for hook in chain().before_publish:
        hook(envelope)
    options["priority"] = envelope.priority
    headers["queueops"] = header_of(envelope)
    return envelope


def header_of(envelope: Envelope) -> dict[str, Any]:
    """Return the header that goes with a message, its names checked."""
    header = envelope.header
    header["org"] = check_org(envelope.org or config().default_org)
    header["resource"] = check_resource(envelope.resource)
    header["priority"] = envelope.priority
    if envelope.deadline_ms:
        header["deadline"] = envelope.deadline_ms
    if envelope.once:
        header["once"] = True
    return header


def _first(
    before: dict[str, Any] | None,
    queue: str,
    message: Any,
    own: dict[str, Any],
    plan: TaskPlan,
    options: dict[str, Any],
) -> Envelope:
    if before is not None and "org" in before:
        # Code that hands its own headers on to a child: only the org is the child's too.
        own.setdefault("org", before["org"])
    priority = options.get("priority")
    scale = own.get("scale") or plan.scale
    headers, body = message.headers, message.body
    return Envelope(
        task=plan.name,
        task_id=headers["id"],
        queue=queue,
        org="",
        resource=own.get("resource") or plan.resource,
        priority=plan.default_priority if priority is None else priorities.parse(priority, scale),
        deadline_ms=0,
        once=plan.is_once(own.get("delivery")) if "delivery" in own else plan.once,
        is_retry=False,
        args=body[0],
        kwargs=body[1],
        headers=headers,
        properties=message.properties,
        options=own,
        header={"first": int(time.time() * 1000)},
        plan=plan,
    )


def _retried(
    before: dict[str, Any], queue: str, message: Any, own: dict[str, Any], plan: TaskPlan
) -> Envelope:
    headers, body = message.headers, message.body
    return Envelope(
        task=plan.name,
        task_id=headers["id"],
        queue=queue,
        org=before.get("org", ""),
        resource=before.get("resource", ""),
        # The AMQP property of the last delivery was cut to 0..9; the header has the truth.
        priority=before.get("priority", plan.default_priority),
        deadline_ms=before.get("deadline", 0),
        once=before.get("once", False),
        is_retry=True,
        args=body[0],
        kwargs=body[1],
        headers=headers,
        properties=message.properties,
        options=own,
        # A copy: the running attempt still reads the old one.
        header={"first": int(time.time() * 1000), **before},
        plan=plan,
    )


def _supersede(task_id: str, options: dict[str, Any]) -> None:
    # The new attempt and the end of the old lease are one step in the broker, so a child that dies right
    # after this publish does not make the job run twice.
    task = get_current_worker_task()
    if task is not None and task.request.id == task_id and "queueops_supersedes" not in options:
        token = (task.request.delivery_info or {}).get("token")
        if token:
            options["queueops_supersedes"] = token


def unavailable(connection: Any, error: BaseException) -> BrokerUnavailable:
    """Return our error for a broker that `connection` could not reach because of `error`."""
    return BrokerUnavailable(
        f"The broker at {connection.as_uri()} did not take the job: {error}. It was not confirmed; "
        "publish it again when the broker is back."
    )
