"""What all parts of the store stand on: a connection, a prefix, and the running of a script."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import redis

from queueops.engine import scripts
from queueops.engine.keys import Keys

#: Jobs or leases that one script call handles at most, so that Redis is never held for long.
STEP = 500

Item = TypeVar("Item")


def at(now_ms: int | None) -> int | str:
    """Return the time as a script takes it: nothing is the server's own."""
    return "" if now_ms is None else now_ms


def steps(items: Iterable[Item], size: int = STEP) -> Iterator[list[Item]]:
    """Yield ``items`` in lists of at most ``size``."""
    iterator = iter(items)
    while step := list(itertools.islice(iterator, size)):
        yield step


class Verbs:
    """The base of :class:`queueops.engine.store.Store` and of its parts."""

    def __init__(self, client: redis.Redis, *, prefix: str = "", lease_ms: int = 30_000) -> None:
        self.client: Any = client  # its annotations allow for text where we only read bytes
        self.prefix = prefix
        self.lease_ms = lease_ms
        self.key = Keys(prefix)

    def _run(self, name: str, *args: str | int | float | bytes) -> Any:
        return scripts.run(self.client, self.prefix, name, *args)

    def queues(self) -> list[str]:
        """Return the names of all queues that ever had a job."""
        return sorted(name.decode() for name in self.client.smembers(self.key("queues")))

    def now_ms(self) -> int:
        """Return the server's time."""
        seconds, micros = self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000
