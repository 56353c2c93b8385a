"""Limits of an org in a queue with their wire form in the gates hash, and limits of a resource."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from queueops.errors import LimitInvalid

#: Gates in the order in which a claim looks at them.
GATES = (
    "pause",
    "queue_concurrency",
    "resource_breaker",
    "resource_concurrency",
    "resource_rate",
    "org_concurrency",
    "org_share",
    "org_rate",
)


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


@dataclass(frozen=True, slots=True)
class Breaker:
    """When a resource is closed by itself, and how it comes back.

    It opens when at least ``failure_share`` of at least ``min_calls`` calls of the last ``window_seconds``
    failed, for ``open_seconds``, each time in a row for twice as long, up to ``longest_open_seconds``; then
    ``probes`` calls must succeed before it closes.
    """

    failure_share: float = 0.5
    min_calls: int = 20
    window_seconds: float = 60.0
    open_seconds: float = 30.0
    longest_open_seconds: float = 900.0
    probes: int = 3

    def __post_init__(self) -> None:
        _between("failure share", self.failure_share, 0.001, 1)
        _between("min calls", self.min_calls, 1, 1_000_000, "calls")
        _between("window", self.window_seconds, 1, 86_400, "seconds")
        _between("open", self.open_seconds, 0.1, 86_400, "seconds")
        _between("longest open", self.longest_open_seconds, 0.1, 7 * 86_400, "seconds")
        _between("probes", self.probes, 1, 1_000_000, "jobs")
        if self.longest_open_seconds < self.open_seconds:
            raise LimitInvalid(
                f"longest open must be at least open ({self.open_seconds:g} seconds), "
                f"got {self.longest_open_seconds:g}"
            )


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """What all jobs of a resource may take together. ``None`` means unlimited, or no breaker.

    ``per_minute``: jobs a minute, of which ``burst`` at once (default 1). ``max_in_flight``: jobs at once.
    """

    per_minute: float | None = None
    burst: int | None = None
    max_in_flight: int | None = None
    breaker: Breaker | None = None

    def __post_init__(self) -> None:
        if self.per_minute is not None and not (
            math.isfinite(self.per_minute) and 0 < self.per_minute <= 6_000_000
        ):
            raise LimitInvalid(
                f"rate must be above 0 and at most 6,000,000 jobs a minute, got {self.per_minute:g}; "
                "to stop a resource, pause it"
            )
        if self.burst is not None:
            if self.per_minute is None:
                raise LimitInvalid("burst needs a rate")
            _between("burst", self.burst, 1, 1_000_000, "jobs")
        if self.max_in_flight is not None:
            _between("max in flight", self.max_in_flight, 0, 1_000_000, "jobs")


def _between(what: str, value: float, least: float, most: float, unit: str = "") -> None:
    # `not <=` refuses NaN too.
    if not least <= value <= most:
        unit = f" {unit}" if unit else ""
        raise LimitInvalid(f"{what} must be between {least:,} and {most:,}{unit}, got {value}")


#: How many of a rate's unit are in a minute.
_A_MINUTE = {"s": 60.0, "m": 1.0, "min": 1.0, "h": 1 / 60, "d": 1 / 1440, "": 1.0}


def rate(value: str | float) -> float:
    """Return jobs a minute for "10/s", "5/m", "100/h", "1000/d", or a number of jobs a minute.

    Raises :class:`LimitInvalid` for what is none of these.
    """
    number, _, unit = str(value).replace(" ", "").partition("/")
    try:
        per_minute = float(number) * _A_MINUTE[unit]
    except (KeyError, ValueError):
        raise LimitInvalid(
            f"rate must be as 10/s, 5/m, 100/h, 1000/d, or a number of jobs a minute, got {value!r}"
        ) from None
    ResourceLimits(per_minute=per_minute)
    return per_minute


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
