"""Whose turn it is among the queues that one socket serves, and when a refused worker may ask again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import monotonic

__all__ = ["LONGEST_REST", "Refusals", "Turns"]

#: Seconds between two claims of a worker whose claims are refused; it begins with one.
LONGEST_REST = 30.0


class Turns:
    """Turns of queues by weight, and of kinds of exchanges that take turns on the socket.

    Smooth weighted round robin (nginx's upstream balancer), counted in jobs and not in claims: a claim may
    bring any number of jobs, so a turn costs what it brought.

    Args:
        weights: weight of each queue, above 0; a queue without one has 5.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self._weights = weights
        self._credit: dict[str, float] = {}
        self._ordered: list[str] = []
        self._taken: set[str] = set()

    def every_other(self, kind: str) -> bool:
        """Return True at every second call for ``kind``, the first included."""
        if kind in self._taken:
            self._taken.discard(kind)
            return False
        self._taken.add(kind)
        return True

    def order(self, queues: Sequence[str]) -> list[str]:
        """Return the queues in the order in which the next claim is to serve them."""
        total = sum(map(self._weight, queues))
        self._ordered = sorted(queues, key=lambda q: -self._credit.get(q, 0.0) - self._weight(q) / total)
        return self._ordered

    def gave(self, queues: Iterable[str], *, full: bool) -> None:
        """Charge the queues of the last order for the jobs that its claim brought.

        Args:
            queues: the queue of each job.
            full: the claim brought all that was asked for, so its last queue may have more.
        """
        ordered, self._ordered = self._ordered, []
        if not ordered:
            return  # one queue needs no turns
        given = dict.fromkeys(ordered, 0)
        for queue in queues:
            given[queue] = given.get(queue, 0) + 1
        last = max((place for place, queue in enumerate(ordered) if given[queue]), default=0)
        spent = last if full else len(ordered)
        # A queue that could not fill its turn has nothing that waits, and saves nothing for later.
        for queue in ordered[:spent]:
            self._credit[queue] = 0.0
        busy = ordered[spent:]
        if busy:
            share = given[busy[0]] / sum(map(self._weight, busy))
            for queue in busy:
                self._credit[queue] = (
                    self._credit.get(queue, 0.0) + share * self._weight(queue) - given[queue]
                )

    def _weight(self, queue: str) -> float:
        return float(self._weights.get(queue, 5.0))


class Refusals:
    """Claims that the server refused in a row; each makes the next one wait twice as long."""

    def __init__(self) -> None:
        self._number = 0
        self._until = 0.0
        self._told = ""

    @property
    def rests(self) -> bool:
        """Whether it is too soon to ask again."""
        return bool(self._number) and monotonic() < self._until

    def none(self) -> None:
        """A claim was answered."""
        self._number = 0

    def add(self) -> float:
        """A claim was refused; returns the seconds to wait."""
        self._number += 1
        delay = min(LONGEST_REST, 2.0 ** (self._number - 1))
        self._until = monotonic() + delay
        return delay

    def is_news(self, told: str) -> bool:
        """Whether this reason is another than the last."""
        news, self._told = told != self._told, told
        return news
