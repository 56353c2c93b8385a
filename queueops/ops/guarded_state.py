"""How far a guarded replay has come, and the text with which a later call goes on from there."""

from __future__ import annotations

import binascii
import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

from queueops.errors import InvalidCursor
from queueops.ops.batches import Cursor

__all__ = ["State"]

#: Letters that a later call still watches; of more than these the newest are let go of.
CARRIED = 500
_LARGEST = 200_000


@dataclass(slots=True)
class State:
    """What a call hands over to the next one.

    Attributes:
        at: the cursor of the last letter that was looked at, "" for none.
        until_ms: letters that died later do not belong to this replay: a job that dies again is not replayed
            for ever. The broker's time.
        canaries: letters that are replayed first and are still to be published.
        wait_until_ms: when the canaries must have ended; 0 as long as they are not all published.
        next_ms: when the rate lets the next letters go.
        count, succeeded, failed, cancelled: letters replayed, and what became of them.
        canary_succeeded, canary_failed: the same of the canaries.
        watched: replayed letters that have not ended, by number, with whether each is a canary.
    """

    until_ms: int
    canaries: int
    at: str = ""
    wait_until_ms: int = 0
    next_ms: int = 0
    count: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    canary_succeeded: int = 0
    canary_failed: int = 0
    canary_cancelled: int = 0
    watched: dict[int, bool] = field(default_factory=dict)

    @property
    def canaries_out(self) -> int:
        """Canaries that have not ended."""
        return sum(self.watched.values())

    @property
    def canaries_lost(self) -> int:
        """Canaries that ended and did not succeed."""
        return self.canary_failed + self.canary_cancelled

    @property
    def canaries_judged(self) -> int:
        """All canaries that were published."""
        return self.canaries_lost + self.canaries_out + self.canary_succeeded

    def write(self, *, judged: bool = False) -> str:
        """The text that `read` takes.

        Args:
            judged: the failures so far were told to a person, who goes on nevertheless: count anew.
        """
        if judged:
            given = asdict(State(self.until_ms, 0, self.at))
        else:
            given = asdict(self)
            # The canaries stand first.
            kept = sorted(self.watched, key=lambda letter: not self.watched[letter])[:CARRIED]
            given["watched"] = {letter: int(self.watched[letter]) for letter in kept}
        return urlsafe_b64encode(zlib.compress(json.dumps(given).encode())).decode()

    @classmethod
    def read(cls, text: str) -> State:
        """The state that `write` has written.

        Raises:
            InvalidCursor: another text.
        """
        try:
            unpacking = zlib.decompressobj()
            given = json.loads(unpacking.decompress(urlsafe_b64decode(text.encode()), _LARGEST))
            if not unpacking.eof:
                raise InvalidCursor()
            watched = {int(letter): bool(canary) for letter, canary in given.pop("watched").items()}
            if set(given) != {one.name for one in fields(cls)} - {"watched"}:
                raise InvalidCursor()
            at = str(given.pop("at"))
            Cursor.parse(at)
            return cls(at=at, watched=watched, **_whole(given))
        except (AttributeError, KeyError, TypeError, ValueError, zlib.error, binascii.Error):
            raise InvalidCursor() from None


def _whole(given: Mapping[str, object]) -> dict[str, int]:
    if not all(type(value) is int and 0 <= value < 2**53 for value in given.values()):
        raise InvalidCursor()
    return dict(given)  # type: ignore[arg-type]
