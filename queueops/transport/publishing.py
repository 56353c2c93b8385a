"""The half of the channel that publishes: how a message is prepared, tagged and put into its lane."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from kombu.transport import redis as stock
from redis.exceptions import OutOfMemoryError

from queueops.engine.store import Store
from queueops.errors import JobCancelled, JobExists, StaleLease
from queueops.transport.messages import new_tag, to_job

__all__ = ["PublishingChannel", "is_reply"]

#: Queues of replies to remote control stay on stock's lists, where ``no_ack`` clients look for them.
REPLY_QUEUE = re.compile(r"\.reply\..*pidbox$")
#: Replies that nobody fetched are gone after this; stock leaves them for ever.
REPLY_KEPT_MS = 60_000


def is_reply(queue: str) -> bool:
    """Return whether ``queue`` holds replies to remote control."""
    return REPLY_QUEUE.search(queue) is not None


class PublishingChannel(stock.Channel):
    """kombu's Redis channel that enqueues by the engine."""

    store: Store

    #: NORMAL; stock kombu writes 0, its highest, for a message that has no priority.
    default_priority = 5
    max_priority = 10
    max_payload_bytes = 262_144

    from_transport_options = (*stock.Channel.from_transport_options, "max_payload_bytes")

    #: Whether the message in hand is published again: its tag was there before.
    _repeated = False

    def _next_delivery_tag(self) -> str:
        return new_tag()

    def _inplace_augment_message(self, message: dict[str, Any], exchange: str, routing_key: str) -> None:
        # kombu passes the same properties again when it retries a publish: the tag stays, and the script
        # sees it twice.
        tag = message["properties"].get("delivery_tag")
        super()._inplace_augment_message(message, exchange, routing_key)
        if tag:
            message["properties"]["delivery_tag"] = tag
        self._repeated = bool(tag)

    def prepare_message(
        self,
        body: Any,
        priority: int | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Prepare a message; an explicit priority 0 survives."""
        properties = {} if properties is None else properties
        properties.setdefault("priority", self.default_priority if priority is None else priority)
        prepared: dict[str, Any] = super().prepare_message(
            body, None, content_type, content_encoding, headers, properties
        )
        return prepared

    def decode_body(self, body: Any, encoding: str | None = None) -> Any:
        """Decode a body; one that is not in the encoding it names stays as it is: its consumer buries it."""
        try:
            return super().decode_body(body, encoding)
        except (AttributeError, TypeError, ValueError):
            return body

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        if is_reply(queue):
            super()._put(queue, message, **kwargs)
            with self.conn_or_acquire() as client:
                client.pexpire(queue, REPLY_KEPT_MS)
            return
        [word] = self.store.enqueue(
            queue, [to_job(message, limit=self.max_payload_bytes, repeated=self._repeated)]
        )
        if word == "stale":
            raise StaleLease
        if word == "cancelled":
            raise JobCancelled
        if word.startswith("existing "):
            raise JobExists(word.removeprefix("existing "))

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        # A full broker refuses the write. A worker that starts now, to drain it, needs no binding: it was
        # made by the first worker of the queue, and publishers of tasks name the queue itself.
        with suppress(OutOfMemoryError):
            super()._queue_bind(exchange, routing_key, pattern, queue)
