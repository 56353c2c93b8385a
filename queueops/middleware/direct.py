"""The short way of a message into its queue, where nobody listens in and nothing has to be declared.

Celery's sender and kombu's producer spend a tenth of a publish on declarations, signals and retries that a
task on its way to a lane does not need when all goes well. When something does not, the message takes their
way, under the same tag, so that the broker knows it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import signals
from kombu.entity import maybe_delivery_mode
from kombu.messaging import Producer
from kombu.utils.json import JSONEncoder

from queueops.transport.messages import new_tag

__all__ = ["put"]

_encode: Callable[[Any], str] = JSONEncoder().encode
#: Options that steer a publish; what else a call passes is a property of the message.
_STEERING = frozenset(
    {
        *("compression", "confirm_timeout", "declare", "delivery_mode", "event_dispatcher", "exchange_type"),
        *(
            "expiration",
            "immediate",
            "mandatory",
            "priority",
            "retry",
            "retry_policy",
            "serializer",
            "timeout",
        ),
    }
)
_LISTENERS = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)


def put(producer: Any, message: Any, queue: str, options: dict[str, Any], serializer: str) -> bool:
    """Put a task's message into its queue; returns whether it did, else nothing has happened.

    Args:
        producer: the producer in use.
        message: Celery's message, headers complete.
        queue: name of a queue behind a direct exchange.
        options: the rest of the call's options. After a lost connection `delivery_tag` is among them.
        serializer: the app's.
    """
    channel = producer._channel
    if (
        # Not open yet, or not any more: kombu's way connects, within the time that the policy gives.
        getattr(channel, "closed", True)
        or message.sent_event
        or type(producer) is not Producer
        or (options.get("serializer") or serializer) != "json"
        or options.get("compression")
        or options.get("timeout")
        or any(signal.receivers for signal in _LISTENERS)
    ):
        return False
    properties = dict(message.properties)
    for key, value in options.items():
        if key not in _STEERING:
            properties[key] = value
    expiration = options.get("expiration")
    if expiration is not None:
        properties["expiration"] = str(int(expiration * 1000))
    properties["delivery_mode"] = maybe_delivery_mode(options["delivery_mode"])
    try:
        body = _encode(message.body)
    except Exception:
        # Celery's way says it in the words that its callers know.
        return False
    try:
        prepared = channel.prepare_message(
            body, options["priority"], "application/json", "utf-8", message.headers, properties
        )
        channel.basic_publish(prepared, exchange="", routing_key=queue)
    except producer.connection.recoverable_connection_errors:
        # It may have arrived, and only the answer be lost: the next try says that it is one.
        options["delivery_tag"] = properties.get("delivery_tag") or new_tag()
        return False
    return True
