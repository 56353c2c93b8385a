"""Priority: how soon a job runs among the jobs of its own org, and how it ages.

Lower is sooner. A job's place in its lane is `ready_since + patience`, so a job that has waited as long
as the difference of two patiences stands beside a fresh job of the sooner priority: nothing starves.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache

from queueops.errors import InvalidPriority

__all__ = ["PATIENCE_MS", "Priority", "effective", "parse", "patience_ms"]


class Priority(IntEnum):
    """The named priorities; every integer from 0 to 10 is one."""

    CRITICAL = 0
    HIGH = 1
    NORMAL = 5
    LOW = 8
    BULK = 10


_MINUTE_MS = 60_000
#: Milliseconds a job of this priority lets a CRITICAL one go first; in between it is interpolated.
PATIENCE_MS: Mapping[int, int] = {
    Priority.CRITICAL: 0,
    Priority.HIGH: 5 * _MINUTE_MS,
    Priority.NORMAL: 20 * _MINUTE_MS,
    Priority.LOW: 50 * _MINUTE_MS,
    Priority.BULK: 110 * _MINUTE_MS,
}

_NAMES = {member.name: member.value for member in Priority}
_RANGE = "0 (sooner) to 10 (later), or one of " + ", ".join(_NAMES)

# The scale on which 10 is soonest. Only 10 is CRITICAL: 8 and 9 are as near to it as HIGH.
_SCALE_1_10 = {1: 10, 2: 9, 3: 8, 4: 6, 5: 5, 6: 3, 7: 1, 8: 1, 9: 1, 10: 0}
_SCALE_1_10_NAMES = {"LOWEST": 1, "LOW": 3, "NORMAL": 5, "HIGH": 7, "CRITICAL": 10}
_SCALE_1_10_RANGE = "1 (later) to 10 (sooner), or one of " + ", ".join(_SCALE_1_10_NAMES)

#: The names of the scales `parse` knows besides our own.
SCALES = ("1-10",)


def parse(value: object, scale: str | None = None) -> int:
    """Return the priority 0..10 that `value` means.

    Args:
        value: a `Priority`, an integer, its decimal text, a name in any case, or None for NORMAL.
        scale: None for ours (0..10, lower is sooner) or "1-10" (higher is sooner).

    Raises:
        InvalidPriority: the value or the scale is not allowed; the message names the range.
    """
    if value is None:
        return Priority.NORMAL.value
    if scale is None:
        if type(value) is int and 0 <= value <= 10:
            return value
        number = _number(value, _NAMES)
        if number is None or not 0 <= number <= 10:
            raise InvalidPriority(value, _RANGE)
        return number
    if scale not in SCALES:
        raise InvalidPriority(value, f"on one of the scales {', '.join(SCALES)}, not on {scale!r}")
    number = _number(value, _SCALE_1_10_NAMES)
    if number is None or number not in _SCALE_1_10:
        raise InvalidPriority(value, _SCALE_1_10_RANGE)
    return _SCALE_1_10[number]


def _number(value: object, names: Mapping[str, int]) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        return int(text) if text.isascii() and text.isdigit() else names.get(text.upper())
    return None


def patience_ms(priority: int, table: Mapping[int, int] | None = None) -> int:
    """Return the milliseconds that a job of `priority` (0..10) is placed behind a CRITICAL one.

    Args:
        priority: 0..10.
        table: patience in ms by priority where a queue sets its own; what it leaves out is interpolated,
            beyond its ends the nearest entry holds.
    """
    if table:
        return _interpolate(priority, tuple(sorted((int(k), int(v)) for k, v in table.items())))
    return _DEFAULT[priority]


def effective(left_ms: float, table: Mapping[int, int] | None = None) -> int:
    """Return the priority 0..10 of a fresh job that would stand where one stands that has aged.

    Args:
        left_ms: what is left of its patience: its rank less the time now; below 0 when that is used up.
        table: as in `patience_ms`.
    """
    return next((n for n in range(11) if patience_ms(n, table) >= left_ms), 10)


@lru_cache(maxsize=1024)
def _interpolate(priority: int, points: tuple[tuple[int, int], ...]) -> int:
    below = points[0]
    for above in points:
        if above[0] >= priority:
            if above[0] == priority or above is below:
                return above[1]
            share = (priority - below[0]) / (above[0] - below[0])
            return round(below[1] + share * (above[1] - below[1]))
        below = above
    return below[1]


_DEFAULT = tuple(
    _interpolate(n, tuple(sorted((int(k), v) for k, v in PATIENCE_MS.items()))) for n in range(11)
)
