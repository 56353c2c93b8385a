"""Reads and rewrites the messages of dead letters: kombu's JSON envelope around Celery's JSON body."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery.utils.saferepr import saferepr
from kombu.compression import decompress

from queueops.errors import InvalidMessage

__all__ = ["Message", "read", "refreshed"]


@dataclass(frozen=True, slots=True)
class Message:
    """A message taken apart; `envelope` is the whole of it."""

    envelope: dict[str, Any]
    args: list[Any]
    kwargs: dict[str, Any]
    embed: dict[str, Any]

    @property
    def headers(self) -> dict[str, Any]:
        """Celery's headers, ours (`queueops`) among them."""
        return self.envelope["headers"]  # type: ignore[no-any-return]

    @property
    def own(self) -> dict[str, Any]:
        """Our header: org, resource, priority, attempts, ..."""
        header = self.headers.get("queueops")
        return header if isinstance(header, dict) else {}

    @property
    def in_chord(self) -> bool:
        """Whether the job is a member of a chord, which failed when the job died."""
        return bool(self.embed.get("chord"))


def read(text: str) -> Message:
    """Take a message apart without interpreting its values, so that it can be put together again unchanged.

    Raises:
        InvalidMessage: it is not a Celery message (protocol 2) with a JSON body.
    """
    try:
        envelope = json.loads(text)
        headers = envelope["headers"]
        body = envelope["body"]
        if envelope.get("content-type") != "application/json":
            raise InvalidMessage(f"Its body is {envelope.get('content-type')!r}, not JSON.")
        if envelope.get("properties", {}).get("body_encoding") == "base64":
            body = base64.b64decode(body)
        if headers.get("compression"):
            body = decompress(body, headers["compression"])
        args, kwargs, embed = json.loads(body)
    except InvalidMessage:
        raise
    # Whatever a message can hold, it must not break the page or the chore that reads it.
    except Exception as error:
        raise InvalidMessage(f"The message cannot be read: {type(error).__name__}: {error}") from error
    if not (isinstance(args, list) and isinstance(kwargs, dict)):
        raise InvalidMessage("Its arguments are not a list and a dict.")
    return Message(envelope, args, kwargs, embed if isinstance(embed, dict) else {})


def refreshed(
    message: Message,
    *,
    tag: str,
    replay: Mapping[str, Any],
    arguments: tuple[list[Any], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The message for a fresh start: no attempts behind it, no date in the past, its lineage in our header.

    A member of a chord leaves it: the chord failed when the member died, and nobody waits for the answer.

    Args:
        tag: the job's tag in the broker.
        replay: what the next letter of this job has to know of this one.
        arguments: args and kwargs in place of the message's own.
    """
    envelope = dict(message.envelope)
    headers = {**message.headers, "retries": 0, "eta": None, "expires": None}
    headers["queueops"] = {**message.own, "replay": dict(replay)}
    # It has waited for its parents. A unique key stays: the replay takes it again, if nobody has it.
    for name in ("attempts", "after", "cancel_with_parent", *(("offload",) if arguments else ())):
        headers["queueops"].pop(name, None)
    if headers["queueops"].pop("late", None):
        headers["queueops"].pop("deadline", None)  # it would die of it again
    properties = {**envelope["properties"], "delivery_tag": tag}
    if arguments or message.in_chord:
        args, kwargs = arguments or (message.args, message.kwargs)
        body = json.dumps([args, kwargs, {**message.embed, "chord": None}])
        envelope["body"] = base64.b64encode(body.encode()).decode()
        envelope["content-encoding"] = "utf-8"
        properties["body_encoding"] = "base64"
        headers.pop("compression", None)
        # Celery's events and Flower print these instead of the body.
        headers["argsrepr"], headers["kwargsrepr"] = saferepr(args), saferepr(kwargs)
    return {**envelope, "headers": headers, "properties": properties}
