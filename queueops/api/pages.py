"""Cursor pages of lists that a verb returns whole or up to a limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from ninja import Query

from queueops.errors import InvalidCursor

__all__ = ["Cursor", "Limit", "number", "sliced"]

Cursor = Annotated[
    str,
    Query(pattern=r"^[^\x00]*$", max_length=300, description="`next` of the page before; empty: the first."),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items of a page, at most.")]

_LARGEST = 2**63 - 1


def number(cursor: str) -> int | None:
    """The number that a cursor is; None for the first page. Raises InvalidCursor for another text."""
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 20 and int(cursor) <= _LARGEST):
        raise InvalidCursor()
    return int(cursor)


def sliced(read: Callable[[int], Sequence[Any]], cursor: str, limit: int) -> dict[str, Any]:
    """A page of a list that `read(most)` returns from its start.

    The cursor is a place in the list: rows that come or go meanwhile shift it, as these lists are live.
    """
    start = number(cursor) or 0
    if start > 1_000_000:
        raise InvalidCursor()
    found = read(start + limit + 1)[start : start + limit + 1]
    return {"items": list(found[:limit]), "next": str(start + limit) if len(found) > limit else None}
