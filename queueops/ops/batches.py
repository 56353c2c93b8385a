"""Walks any number of letters in bounded steps, from the oldest on, and remembers where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Q

from queueops.errors import InvalidCursor
from queueops.models.querysets import DeadLetterQuerySet

__all__ = ["Cursor", "pages"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Cursor(NamedTuple):
    """The last letter that was looked at."""

    died_at: datetime
    id: int

    def __str__(self) -> str:
        # Only characters that may stand in an address as they are.
        return f"{(self.died_at - _EPOCH) // _MICROSECOND}~{self.id}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """The cursor that `str` has written; None for an empty text.

        Raises:
            InvalidCursor: another text.
        """
        if not text:
            return None
        moment, _, number = text.partition("~")
        try:
            cursor = cls(_EPOCH + int(moment) * _MICROSECOND, int(number))
        except (OverflowError, ValueError):
            raise InvalidCursor() from None
        if cursor.died_at < _EPOCH or not 0 <= cursor.id < 2**63:
            raise InvalidCursor()
        return cursor


def pages(
    matching: DeadLetterQuerySet, after: Cursor | None = None, size: int = 200
) -> Iterator[tuple[list[int], Cursor | None]]:
    """The ids of the matching letters, `size` at a time, each page with the cursor of its end (None: last).

    The order is the one that every filter's index has, so that a page costs its own rows; letters that leave
    the selection on the way (they are replayed) do not shift it.
    """
    ordered = matching.order_by("died_at", "id").values_list("died_at", "id")
    while True:
        # The first comparison bounds the index, the second one passes over the rows of the same moment.
        rest = ordered.filter(died_at__gte=after.died_at) if after else ordered
        rest = rest.filter(Q(died_at__gt=after.died_at) | Q(id__gt=after.id)) if after else rest
        rows = [Cursor(*row) for row in rest[:size]]
        if not rows:
            return
        after = rows[-1] if len(rows) == size else None
        yield [row.id for row in rows], after
        if after is None:
            return
