"""The store's part for code that is no job: slots and tokens of a resource, and rates of its own."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from queueops.engine.verbs import Verbs

__all__ = ["Acquired", "Slots"]


@dataclass(frozen=True, slots=True)
class Acquired:
    """The answer to a try.

    ``gate``: what is closed, ``""`` when it was acquired. ``wait_ms``: until the gate may open.
    ``slot``: to be given back, ``""`` when there is nothing to give.
    """

    gate: str
    wait_ms: int
    slot: str


class Slots(Verbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def acquire_rate(
        self, name: str, *, per_minute: float, burst: int, now_ms: int | None = None
    ) -> Acquired:
        """Take one of ``per_minute`` tokens, of which ``burst`` may be taken at once, under any name."""
        interval = f"{60_000_000 / per_minute:.17g}"
        return self._acquired("" if now_ms is None else now_ms, "rate", name, interval, burst)

    def acquire_resource(self, resource: str, *, hold_ms: int, now_ms: int | None = None) -> Acquired:
        """Take a place at ``resource`` as a job would; it is given back by itself after ``hold_ms``."""
        at: int | str = "" if now_ms is None else now_ms
        return self._acquired(at, "resource", resource, uuid4().hex, hold_ms)

    def give_slot(self, slot: str, verdict: str = "", now_ms: int | None = None) -> bool:
        """Give a slot back; ``verdict``: ``good`` or ``bad`` counts for the resource's breaker. False when it
        had expired.
        """
        at: int | str = "" if now_ms is None else now_ms
        return self._acquired(at, "give", slot, verdict, "").gate == ""

    def _acquired(self, *args: str | int) -> Acquired:
        gate, wait_ms, slot = self._run("acquire", *args)
        return Acquired(gate.decode(), int(wait_ms), slot.decode())
