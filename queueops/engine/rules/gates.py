"""Limits of an org in a queue, and their wire form in the gates hash."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from queueops.errors import LimitInvalid

#: Gates in the order in which a claim looks at them.
GATES = ("pause", "queue_concurrency", "org_concurrency", "org_share", "org_rate")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an org may take of a queue. ``None`` means unlimited.

    ``weight``: its share relative to the other orgs. ``rpm``: jobs a minute, of which ``burst`` at once
    (default 1).
    ``max_in_flight``: jobs at once. ``share``: part of the queue's slots, above 0 and at most 1.
    ``until_ms``: when these limits end by themselves; 0 = never.
    """

    weight: float = 1.0
    rpm: float | None = None
    burst: int | None = None
    max_in_flight: int | None = None
    share: float | None = None
    until_ms: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and 0.001 <= self.weight <= 1000):
            raise LimitInvalid(f"weight must be between 0.001 and 1000, got {self.weight}")
        if self.rpm is not None and not (math.isfinite(self.rpm) and 0 < self.rpm <= 6_000_000):
            raise LimitInvalid(
                f"rpm must be above 0 and at most 6,000,000 jobs a minute, got {self.rpm}; "
                "to stop an org, pause it"
            )
        if self.burst is not None and self.rpm is None:
            raise LimitInvalid("burst needs an rpm")
        if self.burst is not None and not 1 <= self.burst <= 1_000_000:
            raise LimitInvalid(f"burst must be between 1 and 1,000,000 jobs, got {self.burst}")
        if self.max_in_flight is not None and not 0 <= self.max_in_flight <= 1_000_000:
            raise LimitInvalid(
                f"max in flight must be between 0 and 1,000,000 jobs, got {self.max_in_flight}"
            )
        if self.share is not None and not (math.isfinite(self.share) and 0 < self.share <= 1):
            raise LimitInvalid(f"share must be above 0 and at most 1, got {self.share}")
        if self.until_ms < 0:
            raise LimitInvalid(f"until must be a time in ms since the epoch, got {self.until_ms}")


def pack_limits(limits: Limits, then: Limits | None = None) -> str:
    """Return the wire form ``weight interval_us burst cap share until_ms``; ``then`` follows when
    ``limits`` end.
    """

    def text(value: float | int | None) -> str:
        return "-" if value is None else f"{value:.17g}"

    interval = None if limits.rpm is None else 60_000_000 / limits.rpm
    burst = None if limits.rpm is None else limits.burst or 1
    fields = (limits.weight, interval, burst, limits.max_in_flight, limits.share, limits.until_ms)
    packed = " ".join(text(value) for value in fields)
    return packed if then is None else f"{packed};{pack_limits(then)}"


def unpack_limits(packed: str) -> tuple[Limits, Limits | None]:
    """Return the limits and those that follow them, the reverse of :func:`pack_limits`."""
    first, _, rest = packed.partition(";")
    weight, interval, burst, cap, share, until = first.split(" ")
    limits = Limits(
        weight=float(weight),
        rpm=None if interval == "-" else round(60_000_000 / float(interval), 6),
        burst=None if burst == "-" else int(burst),
        max_in_flight=None if cap == "-" else int(cap),
        share=None if share == "-" else float(share),
        until_ms=int(until),
    )
    return limits, unpack_limits(rest)[0] if rest else None


def without_end(limits: Limits) -> Limits:
    """Return ``limits`` as they would be if they did not end."""
    return replace(limits, until_ms=0)
