"""The order in which the items of one call are enqueued: what others wait for comes before them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from queueops.errors import DependencyCycle
from queueops.middleware.depends import parent_ids

if TYPE_CHECKING:
    from queueops.middleware.client import Item

__all__ = ["Chunk", "chunks"]


@dataclass(slots=True)
class Chunk:
    """Items that can be enqueued in any order.

    Attributes:
        places: the place of each item in the call.
        waits: whether the chunk before must be confirmed before this one is made.
    """

    items: list[Item] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    waits: bool = False


def chunks(items: Iterable[Item], size: int) -> Iterator[Chunk]:
    """Yield the items in chunks of at most `size`, parents before their children.

    Items are taken from a generator as they are needed, up to the first one with `after`: the parent that it
    names may come later, so from there on all are read.

    Raises:
        DependencyCycle: items wait for one another; what was yielded before is not part of it.
    """
    iterator, place = iter(items), 0
    while chunk := list(islice(iterator, size)):
        if any(item.after is not None for item in chunk):
            chunk += iterator
            yield from _by_level(chunk, place, size)
            return
        yield Chunk(chunk, list(range(place, place + len(chunk))))
        place += len(chunk)


def _by_level(items: Sequence[Item], first: int, size: int) -> Iterator[Chunk]:
    for level in _levels(items):
        for start in range(0, len(level), size):
            part = level[start : start + size]
            yield Chunk([items[n] for n in part], [first + n for n in part], waits=True)


def _levels(items: Sequence[Item]) -> list[list[int]]:
    """Return the numbers of the items: those without a parent among them, then the children of these, ..."""
    number = {item.task_id: n for n, item in enumerate(items) if item.task_id is not None}
    parents = [
        [] if item.after is None else [number[one] for one in parent_ids(item.after) if one in number]
        for item in items
    ]
    children: dict[int, list[int]] = {}
    for n, above in enumerate(parents):
        for parent in above:
            children.setdefault(parent, []).append(n)
    missing = [len(above) for above in parents]
    levels: list[list[int]] = []
    level = [n for n, count in enumerate(missing) if not count]
    while level:
        levels.append(level)
        below: list[int] = []
        for n in level:
            for child in children.get(n, ()):
                missing[child] -= 1
                if not missing[child]:
                    below.append(child)
        level = sorted(below)
    stuck = [n for n, count in enumerate(missing) if count]
    if stuck:
        raise DependencyCycle(items[n].task_id or "" for n in _cycle(stuck[0], parents, missing))
    return levels


def _cycle(start: int, parents: Sequence[Sequence[int]], missing: Sequence[int]) -> list[int]:
    """Return a circle that `start`, which is in one or below one, leads to."""
    way: list[int] = []
    at = start
    while at not in way:
        way.append(at)
        # Something above is missing too, or this one would not be.
        at = next(parent for parent in parents[at] if missing[parent])
    return way[way.index(at) :]
