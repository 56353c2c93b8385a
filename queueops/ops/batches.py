"""Walks any number of letters in bounded steps, from the oldest on, and remembers where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from django.db.models import Q

from queueops.querysets import DeadLetterQuerySet

__all__ = ["Cursor", "pages"]


class Cursor(NamedTuple):
    """The last letter that was looked at."""

    died_at: datetime
    id: int

    def __str__(self) -> str:
        return f"{self.died_at.isoformat()}~{self.id}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """The cursor that `str` has written; None for an empty text. Raises ValueError for another one."""
        if not text:
            return None
        died_at, _, number = text.partition("~")
        return cls(datetime.fromisoformat(died_at), int(number))


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
