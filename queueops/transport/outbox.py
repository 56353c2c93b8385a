"""What a process has to tell Redis of the ends of its leases, kept until Redis has confirmed it."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from queueops.engine.types import Settlement
from queueops.transport import native

__all__ = ["GivenBack", "Outbox"]


class GivenBack(NamedTuple):
    """A lease that ends without an outcome: its job waits again, after ``delay_ms``. ``lost``: this delivery
    counts, for the reasons in ``detail``.
    """

    token: str
    delay_ms: int = 0
    lost: bool = False
    detail: dict[str, Any] | None = None


class Outbox:
    """Settles and jobs that go back, in their order. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._settles: deque[Settlement] = deque()
        self._given_back: deque[GivenBack] = deque()
        self._lock = native.lock()

    def settle(self, settle: Settlement) -> None:
        """Have the end of a lease told."""
        self._settles.append(settle)

    def give_back(self, item: GivenBack) -> None:
        """Have a lease released."""
        self._given_back.append(item)

    def take_settles(self, limit: int) -> list[Settlement]:
        """Take settles to be sent; each comes back by :meth:`unsent`, or is confirmed to the holder."""
        with self._lock:
            return [self._settles.popleft() for _ in range(min(limit, len(self._settles)))]

    def unsent(self, items: list[Settlement]) -> None:
        """No answer was read: the settles wait again, in their order."""
        with self._lock:
            self._settles.extendleft(reversed(items))

    def take_given_back(self) -> list[GivenBack]:
        """Take what is to be released."""
        with self._lock:
            items = list(self._given_back)
            for _ in items:
                self._given_back.popleft()
            return items

    def unreleased(self, items: list[GivenBack]) -> None:
        """The release was not answered: try again later."""
        with self._lock:
            self._given_back.extendleft(reversed(items))

    @property
    def has_settles(self) -> bool:
        """Whether a claim could take settles along."""
        return bool(self._settles)

    @property
    def has_given_back(self) -> bool:
        """Whether a job waits to be released, which no claim does."""
        return bool(self._given_back)

    @property
    def waits(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(self._settles or self._given_back)
