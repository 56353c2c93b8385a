"""Histograms of waiting and running times: their buckets, and what can be read from them.

The scripts count into the same buckets (``lua/lib/history.lua``); a test holds the two together.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

__all__ = ["BOUNDS_MS", "EMPTY", "added", "counted", "percentile"]

#: Upper bounds in ms, each inclusive; the last bucket, which has none, holds what took longer.
BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 500, 1_000, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000)

#: A histogram in which nothing was counted.
EMPTY = (0,) * (len(BOUNDS_MS) + 1)


def counted(durations_ms: Iterable[float]) -> tuple[int, ...]:
    """Return the histogram of durations."""
    counts = list(EMPTY)
    for ms in durations_ms:
        counts[bisect_left(BOUNDS_MS, ms)] += 1
    return tuple(counts)


def added(histograms: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """Return the sum of histograms, bucket by bucket."""
    total = list(EMPTY)
    for counts in histograms:
        for number, count in enumerate(counts):
            total[number] += count
    return tuple(total)


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Return the ms within which ``share`` (0 to 1) of the counted lie; None when nothing was counted.

    It is interpolated: within a bucket the durations are taken to be spread evenly. Beyond the last bound
    there is nothing to interpolate to, so the answer is that bound.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, seen = share * total, 0
    for number, bound in enumerate(BOUNDS_MS):
        if counts[number] and seen + counts[number] >= wanted:
            lower = BOUNDS_MS[number - 1] if number else 0
            return lower + (bound - lower) * max(0.0, wanted - seen) / counts[number]
        seen += counts[number]
    return float(BOUNDS_MS[-1])
