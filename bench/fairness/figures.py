"""The arithmetic of the fairness figures, on lists of numbers alone."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

from bench.processes import Failed


def p95(values: Sequence[float]) -> float:
    """The 95th percentile; raise Failed on fewer than two values."""
    if len(values) < 2:
        raise Failed(f"{len(values)} values have no percentiles")
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def overlap(start: float, end: float, window: tuple[float, float]) -> float:
    """How much of start..end lies within the window."""
    return max(0.0, min(end, window[1]) - max(start, window[0]))


def share_error(used: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The largest relative difference between what an org used and its weight's share of all, in percent."""
    whole, weight = sum(used.get(org, 0.0) for org in weights), sum(weights.values())
    if not whole:
        raise Failed("nothing ran in the window")
    return 100 * max(abs(used.get(org, 0.0) / whole * weight / weights[org] - 1) for org in weights)


def rate_violations(stamps_ms: Iterable[int], burst: int, per_second: float) -> int:
    """How many jobs end a window that holds more than ``burst + per_second × window``.

    Stamps are whole milliseconds, cut: two of them may lie up to 1 ms further apart than they say.
    """
    stamps = sorted(stamps_ms)
    return sum(
        any(
            last - first + 1 > burst + per_second * (stamps[last] - stamps[first] + 1) / 1000
            for first in range(last)
        )
        for last in range(len(stamps))
    )


def fifo_turnarounds(
    sent: Sequence[float], seconds: Sequence[float], ahead: int, starts: Sequence[float], rate: float
) -> list[float]:
    """What jobs in one line will have waited and run for, when so many are ahead of the first.

    ``starts`` are the starts of those that left the line, ``rate`` how many leave it a second.
    """
    line = sorted(starts)
    return [
        max(0, ahead + place - bisect_right(line, moment)) / rate + length
        for place, (moment, length) in enumerate(zip(sent, seconds, strict=True))
    ]
