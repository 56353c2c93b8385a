"""The store's part for what happens to jobs: events that the scripts tell while somebody listens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from queueops.engine.verbs import Verbs, at

__all__ = ["KEPT", "KINDS", "EventVerbs", "JobEvent"]

#: How many events the broker keeps, about; also in lua/lib/events.lua.
KEPT = 10_000
#: What an event of a job can be.
KINDS = ("enqueued", "started", "succeeded", "retrying", "dead", "recovered", "released", "cancelled")

#: Values that are numbers; times are ms since the epoch.
_WHOLE = frozenset({"attempt", "deliveries", "due_at", "retry_at"})
_FRACTIONS = frozenset({"run_ms", "wait_ms"})


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something happened to a job; or `gap`: what happened before was not told, because nobody listened.

    Attributes:
        id: its place in the stream; ids rise.
        kind: one of `KINDS`, or "gap".
        at_ms: when.
        data: what else is known, by name: attempt, state, worker, due_at, retry_at, run_ms, wait_ms, error,
            message, reason, deliveries.
    """

    id: str
    kind: str
    at_ms: int
    task_id: str = ""
    task: str = ""
    queue: str = ""
    org: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class EventVerbs(Verbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def listen(self, ms: int, now_ms: int | None = None) -> str:
        """Have events of all queues told for so long; returns the id of the latest one.

        Where nobody has listened until now, that is a `gap`. Who goes on listening asks again in time.
        """
        return str(self._run("listen", at(now_ms), ms).decode())

    def events(self, after: str, *, count: int = 500, block_ms: int = 0) -> list[JobEvent]:
        """Return at most `count` events after the id `after`, oldest first.

        Args:
            block_ms: how long to wait for one when there is none; 0 is not at all. Less than the connection
                waits for an answer.
        """
        found = self.client.xread({self.key("events"): after}, count=count, block=block_ms or None)
        return [_event(entry) for _, entries in found or () for entry in entries]

    def has_event(self, event_id: str) -> bool:
        """Return whether the event is still there, and with it all that came after it."""
        return bool(self.client.xrange(self.key("events"), event_id, event_id, 1))

    def outcome(self, task_id: str, now_ms: int | None = None) -> str | None:
        """Return how a job ended that is over: `succeeded`, `dead` or `cancelled`.

        `None`: it lives, or ended more than two minutes ago, or never was. The dead are known until their
        letters are closed.
        """
        minute = (self.now_ms() if now_ms is None else now_ms) // 60_000
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hexists(self.key("graves"), task_id)
        # The next minute too, for a clock that has stepped back.
        for one in range(minute + 1, minute - 3, -1):
            pipeline.hget(self.key("ended", minute=str(one)), task_id)
        is_dead, *lines = pipeline.execute()
        ended = [line.decode().split("\t")[2:] for line in lines if line is not None]
        if is_dead:
            return "dead"
        return (ended[0] or ["succeeded"])[0] if ended else None


def _event(entry: tuple[bytes, Mapping[bytes, bytes]]) -> JobEvent:
    event_id, found = entry
    fields = {name.decode(): text.decode("utf-8", "replace") for name, text in found.items()}
    known = {name: fields.pop(name, "") for name in ("kind", "task_id", "task", "queue", "org")}
    at_ms = int(fields.pop("at"))
    return JobEvent(
        id=event_id.decode(),
        at_ms=at_ms,
        data={name: _value(name, text) for name, text in fields.items()},
        **known,
    )


def _value(name: str, text: str) -> Any:
    if name in _WHOLE:
        return int(float(text))
    return float(text) if name in _FRACTIONS else text
