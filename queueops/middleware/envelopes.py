"""What queueops says about a message: the envelope of a first publish or a retry, and its header."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from celery._state import get_current_worker_task
from celery.utils.saferepr import saferepr

from queueops.conf import config
from queueops.engine.rules import priority as priorities
from queueops.engine.rules.backoff import RetryPolicy
from queueops.errors import ConfigurationError, InvalidMessage
from queueops.middleware.breaker import counts
from queueops.middleware.chain import Envelope, chain
from queueops.middleware.options import CALL_OPTIONS, replicas
from queueops.middleware.org import check_org, check_resource
from queueops.middleware.plan import TaskPlan

if TYPE_CHECKING:
    from queueops.middleware.publish import AMQP

__all__ = ["add_custom", "first_envelope", "header_of", "inherit", "own_options", "prepare", "shown"]

#: Keys of the header that only a job's first publish has.
_FIRST_ONLY = frozenset({"after", "cancel_with_parent"})
_POLICY_FIELDS = frozenset(RetryPolicy.__dataclass_fields__)


def shown(value: Any, size: int) -> str:
    """Return arguments as text of at most about `size` characters."""
    try:
        text = repr(value)
    except Exception:
        # An argument that cannot be shown is no reason not to publish; Celery's way around it copes.
        return str(saferepr(value, size))
    # Celery's cutting representation costs ten times as much; what is short needs no cutting.
    return text if len(text) <= size else str(saferepr(value, size))


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
    own = own_options(options)
    before = add_custom(headers, custom)
    plan = amqp.plan(name)
    if headers["retries"]:
        _supersede(headers["id"], options, before)
    if before is not None and headers["retries"]:
        envelope = _retried(before, queue, message, own, plan)
    else:
        inherit(before, own)
        envelope = first_envelope(queue, message, own, plan, options.get("priority"))
    for hook in chain().before_publish:
        hook(envelope)
    options["priority"] = envelope.priority
    headers["queueops"] = header_of(envelope)
    if "unique" in envelope.header and message.body[2].get("chord") and not envelope.is_retry:
        raise InvalidMessage(
            f"{name} is unique and a member of a chord: where the job exists already, the chord would wait "
            "for ever. Pass unique=False."
        )
    return envelope


def own_options(options: dict[str, Any]) -> dict[str, Any]:
    """Take our options out of a call's and return them."""
    own = {key: options.pop(key) for key in CALL_OPTIONS.intersection(options)}
    policy = options.get("retry_policy")
    if policy is not None and (isinstance(policy, RetryPolicy) or _POLICY_FIELDS.issuperset(policy)):
        # Celery's option of that name is about the publish; its keys are others than ours.
        own["retry_policy"] = options.pop("retry_policy")
    return own


def header_of(envelope: Envelope) -> dict[str, Any]:
    """Return the header that goes with a message, its names checked."""
    settings = config()
    header = envelope.header
    header["org"] = check_org(envelope.org or settings.default_org)
    header["resource"] = check_resource(envelope.resource)
    header["priority"] = envelope.priority
    if envelope.deadline_ms:
        header["deadline"] = envelope.deadline_ms
    if envelope.once:
        header["once"] = True
    if not envelope.is_retry:
        durable = replicas(envelope.options.get("durable", envelope.plan.durable))
        if durable:
            header["durable"] = durable
    queue = settings.queues.get(envelope.queue)
    if queue is not None and queue.patience_ms is not None:
        header["patience"] = priorities.patience_ms(envelope.priority, queue.patience_ms)
    return header


def add_custom(headers: dict[str, Any], custom: dict[str, Any] | None) -> dict[str, Any] | None:
    """Add the caller's headers to the message's; return our header among them, if there is one."""
    if not custom:
        return None
    headers.update(custom)
    found = custom.get("queueops")
    return found if isinstance(found, dict) else None


def inherit(before: dict[str, Any] | None, own: dict[str, Any]) -> None:
    """Take over what a child shares with the job whose header code handed on to it: the org."""
    if before is not None and "org" in before:
        own.setdefault("org", before["org"])


def first_envelope(queue: str, message: Any, own: dict[str, Any], plan: TaskPlan, priority: Any) -> Envelope:
    """Return the envelope of a job's first publish, before the members have seen it.

    Args:
        queue: name of the queue it goes to.
        message: Celery's message.
        own: our options of the call.
        plan: what the task says.
        priority: of the call, None for the task's.
    """
    headers, body = message.headers, message.body
    if own and not chain().unhandled.isdisjoint(own):
        passed_over = ", ".join(sorted(chain().unhandled.intersection(own)))
        raise ConfigurationError(
            f'No member of QUEUEOPS["MIDDLEWARE"] handles {passed_over}: '
            "add queueops.middleware.unique.Unique, .depends.Depends or .offload.Offload."
        )
    return Envelope(
        task=plan.name,
        task_id=headers["id"],
        queue=queue,
        org="",
        resource=plan.resource_for(own.get("resource"), body[0], body[1]),
        priority=(
            plan.default_priority
            if priority is None
            else priorities.parse(priority, own.get("scale") or plan.scale)
        ),
        deadline_ms=0,
        once=plan.is_once(own["delivery"]) if "delivery" in own else plan.once,
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
        # A copy: the running attempt still reads the old one. Its parents are not waited for again.
        header={
            "first": int(time.time() * 1000),
            **{key: value for key, value in before.items() if key not in _FIRST_ONLY},
        },
        plan=plan,
    )


def _supersede(task_id: str, options: dict[str, Any], before: dict[str, Any] | None) -> None:
    # The new attempt and the end of the old lease are one step in the broker, so a child that dies right
    # after this publish does not make the job run twice.
    task = get_current_worker_task()
    if task is not None and task.request.id == task_id and "queueops_supersedes" not in options:
        token = (task.request.delivery_info or {}).get("token")
        if token:
            options["queueops_supersedes"] = token
        # A task that asks for its next attempt while it handles an error has failed by that error.
        if before and before.get("resource") and counts(task, sys.exc_info()[1]):
            options["queueops_failed"] = True
