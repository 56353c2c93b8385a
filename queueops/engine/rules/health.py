"""From where on a queue is degraded or unhealthy: the thresholds, and how a project's own are read."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any

__all__ = ["DEFAULTS", "thresholds"]

#: By signal: degraded from the first value on, unhealthy above the second.
DEFAULTS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "active_share": (0.8, 0.95),
        "waiting": (1000, 5000),
        "failure_share": (0.05, 0.10),
        "wait_seconds": (30, 120),
    }
)
_WANTED = "a dict of {signal: (degraded from, unhealthy above)}, signals: " + ", ".join(DEFAULTS)


def thresholds(value: Any) -> Mapping[str, tuple[float, float]]:
    """The project's thresholds over the shipped ones; ValueError says what is wanted."""
    if not isinstance(value, Mapping) or not all(name in DEFAULTS for name in value):
        raise ValueError(_WANTED)
    return MappingProxyType({**DEFAULTS, **{name: _pair(pair) for name, pair in value.items()}})


def _pair(value: Any) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(_WANTED)
    degraded, unhealthy = value
    for number in (degraded, unhealthy):
        if isinstance(number, bool) or not isinstance(number, int | float) or not isfinite(number):
            raise ValueError(_WANTED)
    if not 0 <= degraded <= unhealthy:
        raise ValueError(f"{_WANTED}, the first not above the second")
    return degraded, unhealthy
