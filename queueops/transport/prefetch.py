"""How many jobs a worker claims ahead of its free slots."""

from __future__ import annotations

import math
from typing import Literal

#: Jobs claimed ahead at most.
MOST_AHEAD = 64
#: Below this mean run time a round trip costs a noticeable part of the run, so many are claimed at once.
SHORT_MS = 20.0
#: Above this mean run time a claimed-ahead job would wait noticeably behind a running one.
LONG_MS = 1000.0

#: Jobs given to the pool beyond its slots start within about this; so short that a shutdown waits for them.
SPARE_MS = 5.0

Prefetch = int | Literal["auto"]


def ahead(prefetch: Prefetch, slots: int, mean_ms: float, ended: int) -> int:
    """Return how many jobs to hold ahead of the slots.

    ``prefetch``: a number, or "auto": nothing above a mean run time of 1 s, below it as many as the slots
    start in 20 ms, one at least, 64 at most. ``mean_ms``: mean run time in this process; ``ended``: how many
    runs it stands on.
    """
    if prefetch != "auto":
        return prefetch
    if not ended or mean_ms > LONG_MS:
        return 0
    return min(MOST_AHEAD, math.ceil(slots * SHORT_MS / max(mean_ms, 0.01)))


def spare(slots: int, mean_ms: float, ended: int) -> int:
    """Return how many jobs the pool may be given beyond its slots.

    Only where one starts within 20 ms: a slot would otherwise stand idle while the event loop brings the next
    job. As many as the slots start in 5 ms, one at least; one a slot where runs are shorter than 20 ms; 64 at
    most. Jobs that would wait longer stay in the transport's buffer, from where they can be given back.
    """
    if not ended or mean_ms > slots * SHORT_MS:
        return 0
    least = slots if mean_ms < SHORT_MS else 1
    return min(MOST_AHEAD, max(least, math.ceil(slots * SPARE_MS / max(mean_ms, 0.01))))
