"""The endpoint that breaks for a while: its breaker's settings, and what was seen of it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from queueops.ops import broker, panic

#: Of the resource of the endpoint that breaks for a while. Short times, so that the demonstration shows it
#: open, half open, open again and closed; in production it opens for half a minute at first.
FLAKY: dict[str, Any] = {
    "max_in_flight": 4,
    "breaker": True,
    "min_calls": 6,
    "window_seconds": 10,
    "open_seconds": 1,
    "longest_open_seconds": 4,
    "probes": 2,
}
#: Of the endpoint whose deliveries die: each of them is tried as often as the policy says.
BROKEN: dict[str, Any] = {"breaker": False}

_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Change:
    """The breaker came into *state*; *at* is in seconds of the monotonic clock, *held* jobs waited then."""

    at: float
    state: str
    reason: str
    held: int


class Watch:
    """Looks at a resource's breaker while the story goes on; *changes* is what it saw."""

    def __init__(self, resource: str) -> None:
        self.changes: list[Change] = []
        self._resource = resource
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    @property
    def openings(self) -> int:
        """How often it has opened."""
        return sum(change.state == "open" for change in self.changes)

    @property
    def state(self) -> str:
        """Its state when it was last looked at."""
        return self.changes[-1].state if self.changes else "closed"

    def _look(self) -> None:
        with broker.store() as store:
            while not self._over.is_set():
                seen = panic.status_of(store.resource_snapshot(self._resource))
                if seen.state != self.state:
                    held = sum(seen.held.values())
                    self.changes.append(Change(time.monotonic(), seen.state, seen.reason, held))
                self._over.wait(_POLL_SECONDS)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(10)
