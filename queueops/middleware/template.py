"""A message with holes: what differs from job to job is filled in as text, the rest is written once."""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as quoted
from typing import Any
from uuid import uuid4

from kombu.utils.json import JSONEncoder, dumps

from queueops.engine.rules.envelope import NewJob
from queueops.engine.rules.priority import patience_ms
from queueops.errors import PayloadTooLarge
from queueops.middleware.chain import Envelope
from queueops.transport.messages import links, to_job

__all__ = ["Template"]

#: kombu's own encoder, made once: making one costs as much as a small message.
_encode: Callable[[Any], str] = JSONEncoder().encode
#: What most headers hold and nothing else; the names in them are checked and need no escaping.
_USUAL = {"first", "org", "resource", "priority"}
#: Options of a call that steer the publish and do not travel with the message.
_STEERING = frozenset(
    {
        *("compression", "confirm_timeout", "declare", "delivery_mode", "event_dispatcher", "exchange"),
        *("exchange_type", "immediate", "mandatory", "priority", "retry", "retry_policy", "routing_key"),
        *("serializer", "timeout"),
    }
)


class Template:
    """Writes the messages of jobs that differ in id, arguments, priority and our header.

    Args:
        app: the Celery app.
        producer: the producer they would be sent with.
        envelope: the first of them, as the members have left it; `envelope.header` is complete.
        embed: the third part of the body (callbacks, chain, chord).
        options: options of the call.
    """

    def __init__(
        self, app: Any, producer: Any, envelope: Envelope, embed: Any, options: dict[str, Any]
    ) -> None:
        self._queue = envelope.queue
        self._headers = dict(envelope.headers)
        self._properties = dict(envelope.properties)
        self._own_root = envelope.headers["root_id"] == envelope.task_id
        self._embed, self._embed_text = embed, _encode(embed)
        self._producer = producer
        self._serializer = options.get("serializer") or app.conf.task_serializer
        self._compression = options.get("compression") or app.conf.task_compression
        self._plain = self._serializer == "json" and not self._compression
        message = self._message(app, envelope, options)
        # What the transport makes of it also says when it is due and how long it may run.
        self._limit = producer.channel.max_payload_bytes
        self._job = to_job(message, limit=self._limit)
        self._pieces, self._holes = _with_holes(message, own_root=self._own_root)

    def fits(self, envelope: Envelope) -> bool:
        """Whether the members have made of this envelope what they made of the first one."""
        headers, properties, given = self._headers, self._properties, envelope.headers
        headers["id"] = properties["correlation_id"] = envelope.task_id
        if self._own_root:
            headers["root_id"] = envelope.task_id
        headers["argsrepr"], headers["kwargsrepr"] = given["argsrepr"], given["kwargsrepr"]
        return given == headers and envelope.properties == properties and envelope.queue == self._queue

    def job(self, envelope: Envelope, tag: str) -> NewJob:
        """Return the job of an envelope that fits, under a tag of `new_tags`.

        Raises:
            PayloadTooLarge: its message is larger than the broker takes.
        """
        header, headers, base = envelope.header, envelope.headers, self._job
        filling = {
            "id": quoted(envelope.task_id),
            "tag": f'"{tag}"',
            "body": f'"{self._body(envelope)}"',
            "argsrepr": quoted(headers["argsrepr"]),
            "kwargsrepr": quoted(headers["kwargsrepr"]),
            "priority": str(envelope.priority),
            "header": _header_text(header),
        }
        # Joining pieces takes a fifth of the time that formatting the whole text takes.
        pieces = self._pieces.copy()
        for at, name in self._holes:
            pieces[at] = filling[name]
        text = "".join(pieces)
        # The text is ASCII: every part was written by a JSON encoder or is base64.
        if len(text) > self._limit:
            raise PayloadTooLarge(len(text), self._limit)
        return NewJob(
            tag=tag,
            task_id=envelope.task_id,
            task=base.task,
            org=header["org"],
            message=text,
            resource=header["resource"],
            patience_ms=header["patience"] if "patience" in header else patience_ms(envelope.priority),
            deadline_ms=envelope.deadline_ms,
            due_ms=base.due_ms,
            once=envelope.once,
            expires_late=header.get("late") == "expire",
            run_limit_ms=base.run_limit_ms,
            first_ms=header["first"],
            attempt=base.attempt,
            replicas=header.get("durable", 0),
            **links(header),
        )

    def _body(self, envelope: Envelope) -> str:
        if self._plain:
            kwargs = _encode(envelope.kwargs) if envelope.kwargs else "{}"
            text = f"[{_encode(envelope.args)}, {kwargs}, {self._embed_text}]"
            return b2a_base64(text.encode(), newline=False).decode()
        parts = (envelope.args, envelope.kwargs, self._embed)
        body, _, _ = self._producer._prepare(parts, self._serializer, None, None, self._compression, {})
        channel = self._producer.channel
        encoded: str = channel.encode_body(body, channel.body_encoding)[0]
        return encoded

    def _message(self, app: Any, envelope: Envelope, options: dict[str, Any]) -> dict[str, Any]:
        # As kombu's `Producer.publish` makes it of what Celery's sender passes.
        producer, channel = self._producer, self._producer.channel
        headers = {**envelope.headers, "queueops": envelope.header}
        parts = (envelope.args, envelope.kwargs, self._embed)
        body, kind, encoding = producer._prepare(
            parts, self._serializer, None, None, self._compression, headers
        )
        properties = {**envelope.properties, **{k: v for k, v in options.items() if k not in _STEERING}}
        expiration = properties.pop("expiration", None)
        if expiration is not None:
            properties["expiration"] = str(int(expiration * 1000))
        mode = options.get("delivery_mode") or app.conf.task_default_delivery_mode
        properties["delivery_mode"] = producer._delivery_details("", mode)[1]
        message: dict[str, Any] = channel.prepare_message(
            body, envelope.priority, kind, encoding, headers, properties
        )
        channel._inplace_augment_message(message, "", self._queue)
        return message


def _header_text(header: dict[str, Any]) -> str:
    if header.keys() == _USUAL:
        first, org, resource, priority = (
            header["first"],
            header["org"],
            header["resource"],
            header["priority"],
        )
        return f'{{"first": {first}, "org": "{org}", "resource": "{resource}", "priority": {priority}}}'
    return _encode(header)


def _with_holes(message: dict[str, Any], *, own_root: bool) -> tuple[list[str], list[tuple[int, str]]]:
    """Return the message's text in pieces, and which of them are holes for what."""
    # A mark that nobody else can have written, so that only our own marks become holes.
    mark = uuid4().hex
    names = ("id", "tag", "body", "argsrepr", "kwargsrepr", "priority", "header")
    hole = {name: f"{mark}-{name}" for name in names}
    headers = {
        **message["headers"],
        "id": hole["id"],
        "argsrepr": hole["argsrepr"],
        "kwargsrepr": hole["kwargsrepr"],
        "queueops": hole["header"],
    }
    if own_root:
        headers["root_id"] = hole["id"]
    properties = {
        **message["properties"],
        "correlation_id": hole["id"],
        "delivery_tag": hole["tag"],
        "priority": hole["priority"],
    }
    text = dumps({**message, "body": hole["body"], "headers": headers, "properties": properties})
    pieces = re.split(f'"{mark}-(\\w+)"', text)
    return pieces, [(at, pieces[at]) for at in range(1, len(pieces), 2)]
