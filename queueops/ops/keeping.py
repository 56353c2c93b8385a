"""Answers that take long, kept for a while in proportion to what they took."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

__all__ = ["Keeper"]

T = TypeVar("T")

#: How much longer an answer is kept than it took, and at least, in seconds.
KEPT_TIMES, KEPT_SECONDS = 20, 1.0
#: Answers kept at once; the one that ends first gives way.
MOST = 64


class Keeper(Generic[T]):
    """Keeps the answers to one question, by what it was asked about, in this process.

    Args:
        is_costly: whether an answer is worth keeping; others are asked for anew each time.
    """

    def __init__(self, is_costly: Callable[[T], bool]) -> None:
        self._is_costly = is_costly
        self._kept: dict[Hashable, tuple[float, T]] = {}

    def get(self, about: Hashable, ask: Callable[[], T]) -> T:
        """Return the answer, which may be some seconds old where it is costly; raises what `ask` raises."""
        began = monotonic()
        kept = self._kept.get(about)
        if kept is not None and began < kept[0]:
            return kept[1]
        answer = ask()
        ended = monotonic()
        if self._is_costly(answer):
            while len(self._kept) >= MOST and about not in self._kept:
                first = min(self._kept, key=lambda one: self._kept[one][0])
                self._kept.pop(first, None)
            self._kept[about] = (ended + max(KEPT_SECONDS, KEPT_TIMES * (ended - began)), answer)
        else:
            self._kept.pop(about, None)
        return answer
