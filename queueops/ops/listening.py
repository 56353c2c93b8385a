"""What a listener is told, and the queue in which that waits until it is read."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from queueops.engine.events import KEPT, JobEvent
from queueops.ops.masking import mask_text

__all__ = ["Event", "Listener", "notice", "told"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, to a job or to the stream.

    Attributes:
        id: its place in the broker's stream, by which a listener goes on later; "" for what is not in it.
        kind: of a job "enqueued", "started", "succeeded", "retrying", "dead", "recovered", "released" or
            "cancelled". "snapshot": how a queue does, or with a `task_id` what is known of the job. Of the
            stream "open" (from here on nothing is left out), "gap" (something was), "away" (the broker does
            not answer) and "back".
        at: when.
        data: what else is known, fit for JSON.
    """

    id: str
    kind: str
    at: datetime
    task_id: str = ""
    task: str = ""
    queue: str = ""
    org: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class Listener:
    """What one listener has not read yet.

    Args:
        queue, org, task_id: exact names; "" is any.
        jobs: whether it is told of jobs. snapshots: of queues.
        last_id: of the last event that it knows; "" begins now.
        limit: events that may wait for it; one more and it is given up.
    """

    def __init__(
        self,
        *,
        queue: str = "",
        org: str = "",
        task_id: str = "",
        jobs: bool = True,
        snapshots: bool = True,
        last_id: str = "",
        limit: int = KEPT,
    ) -> None:
        self.queue, self.org, self.task_id = queue, org, task_id
        self.jobs, self.snapshots = jobs, snapshots and not task_id
        self.last_id = last_id
        #: Given up: what waits is the last that it gets.
        self.closed = False
        self._limit = limit
        self._waiting: deque[Event] = deque()
        self._lock = threading.Lock()
        self._wake: Callable[[], Any] | None = None

    def wants(self, event: Event) -> bool:
        """Whether the listener has asked for it."""
        if event.kind == "snapshot":
            return self.snapshots and self.queue in ("", event.queue)
        if event.kind == "gap":
            return self.jobs
        if not event.task_id:
            return True
        return (
            self.jobs
            and self.queue in ("", event.queue)
            and self.org in ("", event.org)
            and self.task_id in ("", event.task_id)
        )

    def offer(self, events: Iterable[Event]) -> None:
        """Put what the listener wants into its queue; never waits."""
        wanted = [event for event in events if self.wants(event)]
        if not wanted or self.closed:
            return
        with self._lock:
            if len(self._waiting) + len(wanted) > self._limit:
                self._waiting.clear()
                self._waiting.append(notice("gap", why="Too much waited to be read."))
                self.closed = True
            else:
                self._waiting.extend(wanted)
            wake, self._wake = self._wake, None
        if wake is not None:
            with suppress(RuntimeError):  # its event loop has ended
                wake()

    @property
    def is_waiting(self) -> bool:
        """Whether something waits to be read."""
        return bool(self._waiting)

    def wait(self, seconds: float) -> Event | None:
        """The next event, or None when there is none for so long."""
        ready = threading.Event()
        if not self._await(ready.set):
            ready.wait(seconds)
        return self._pop()

    async def next(self, seconds: float) -> Event | None:
        """As `wait`, for code that must not stand still."""
        ready, loop = asyncio.Event(), asyncio.get_running_loop()
        if not self._await(lambda: loop.call_soon_threadsafe(ready.set)):
            with suppress(TimeoutError):
                await asyncio.wait_for(ready.wait(), seconds)
        return self._pop()

    def _await(self, wake: Callable[[], Any]) -> bool:
        """Whether something waits already; if not, `wake` is called when it does."""
        with self._lock:
            if self._waiting:
                return True
            self._wake = wake
            return False

    def _pop(self) -> Event | None:
        with self._lock:
            self._wake = None
            return self._waiting.popleft() if self._waiting else None


def notice(kind: str, **data: Any) -> Event:
    """An event of the stream itself."""
    return Event("", kind, datetime.now(UTC), data=data)


def told(event: JobEvent) -> Event:
    """The event as listeners see it: times are no numbers, and messages have their secrets masked."""
    data = {name: _SHOWN[name](value) if name in _SHOWN else value for name, value in event.data.items()}
    at = datetime.fromtimestamp(event.at_ms / 1000, UTC)
    return Event(event.id, event.kind, at, event.task_id, event.task, event.queue, event.org, data)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


#: What becomes of some values of an event.
_SHOWN: Mapping[str, Callable[[Any], Any]] = {
    "due_at": _time,
    "retry_at": _time,
    "message": lambda told: mask_text(str(told)),
}
