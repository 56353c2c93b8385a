"""What the job of a dead letter carried, for people who may see payloads: whole, with secrets masked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from queueops.errors import InvalidMessage
from queueops.models import DeadLetter
from queueops.ops import messages, storable
from queueops.ops.masking import mask, mask_text

__all__ = ["Payload", "payload_of"]

_RAW = 4_000
#: They repeat the payload as text, which no key can mask.
_REPEATS = ("argsrepr", "kwargsrepr")


@dataclass(frozen=True, slots=True)
class Payload:
    """A message taken apart.

    Attributes:
        embed: what comes after the job: callbacks, errbacks, chain, chord; empty ones are left out.
        in_chord: whether it is a member of a chord, which failed when the job died.
        unreadable: why the message cannot be read; then `raw` is its beginning and the others are empty.
    """

    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, Any] = field(default_factory=dict)
    embed: dict[str, Any] = field(default_factory=dict)
    in_chord: bool = False
    unreadable: str = ""
    raw: str = ""


def payload_of(letter: DeadLetter) -> Payload:
    """The payload of a letter; the caller has looked whether it may be shown."""
    try:
        message = messages.read(letter.raw_message)
    except InvalidMessage as error:
        return Payload(unreadable=str(error), raw=mask_text(storable.text(letter.raw_message[:_RAW])))
    return Payload(
        args=mask(message.args),
        kwargs=mask(message.kwargs),
        headers=mask({name: value for name, value in message.headers.items() if name not in _REPEATS}),
        embed=mask({name: value for name, value in message.embed.items() if value}),
        in_chord=message.in_chord,
    )
