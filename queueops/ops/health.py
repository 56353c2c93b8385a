"""How a queue does: four signals against their thresholds, the worst of them decides.

Thresholds are settable per queue: QUEUEOPS["QUEUES"][name]["health"].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Health", "Level", "Signal", "combined", "judged"]


class Level(StrEnum):
    """How a queue does."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


_RANK = {level: rank for rank, level in enumerate(Level)}


@dataclass(frozen=True, slots=True)
class Signal:
    """One figure of a queue and what it means.

    Attributes:
        name: active_share (jobs in flight of the cap, 0 to 1), waiting (ready jobs), failure_share (attempts
            of the last hour that ended in an error, 0 to 1) or wait_seconds (mean wait).
        value: None where there is none: no cap, nothing ended, nothing waits.
        level: None for a figure that is not judged.
        degraded_at: degraded from this value on.
        unhealthy_at: unhealthy above this value.
    """

    name: str
    value: float | None
    level: Level | None
    degraded_at: float
    unhealthy_at: float


@dataclass(frozen=True, slots=True)
class Health:
    """The worst level of its signals; healthy when none could be judged."""

    level: Level
    signals: tuple[Signal, ...]


def judged(values: Mapping[str, float | None], thresholds: Mapping[str, tuple[float, float]]) -> Health:
    """Judge a queue's figures.

    Args:
        values: by the names of the signals; None is not judged.
        thresholds: of the same names.
    """
    return _worst(
        Signal(name, value, _level(value, *thresholds[name]), *thresholds[name])
        for name, value in values.items()
    )


def combined(parts: Iterable[Health]) -> Health:
    """The health of several queues together: of each signal the worst one, the highest among equals."""
    signals: dict[str, Signal] = {}
    for health in parts:
        for signal in health.signals:
            known = signals.get(signal.name)
            if known is None or _weight(signal) > _weight(known):
                signals[signal.name] = signal
    return _worst(signals.values())


def _worst(signals: Iterable[Signal]) -> Health:
    found = tuple(signals)
    levels = [signal.level for signal in found if signal.level is not None]
    return Health(max(levels, key=_RANK.__getitem__, default=Level.HEALTHY), found)


def _level(value: float | None, degraded_at: float, unhealthy_at: float) -> Level | None:
    if value is None:
        return None
    if value > unhealthy_at:
        return Level.UNHEALTHY
    return Level.DEGRADED if value >= degraded_at else Level.HEALTHY


def _weight(signal: Signal) -> tuple[int, float]:
    if signal.level is None or signal.value is None:
        return -1, 0.0
    return _RANK[signal.level], signal.value
