"""A real trace as load: jobs of the NASA Ames iPSC/860 in 1993, its users as orgs, its time compressed."""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parent / "data" / "nasa-ipsc-1993.swf.gz"
DAY = 86_400
# Monday 6 to Friday 10 December 1993, the busiest working week of the trace; it begins on 1 October.
FIRST_DAY, LAST_DAY = 66, 71
# The longest jobs are a thousand times as long as the median one: a slot cannot be taken back, so these few
# would be all that is measured.
SHORTEST, LONGEST = 0.005, 0.3


class TraceJob(NamedTuple):
    """One job: sent so many seconds after the start, by this org, sleeping so long."""

    at: float
    org: str
    seconds: float


def week(seconds: float, slots: int, load: float) -> list[TraceJob]:
    """The week compressed to so many seconds, its run times scaled to this mean load of the slots."""
    rows = [row for row in read() if FIRST_DAY * DAY <= row.at < LAST_DAY * DAY]
    low, high = 1e-9, 1.0
    for _ in range(60):
        scale = (low + high) / 2
        if sum(shortened(row, scale) for row in rows) > load * slots * seconds:
            high = scale
        else:
            low = scale
    clock = seconds / ((LAST_DAY - FIRST_DAY) * DAY)
    return [TraceJob((row.at - FIRST_DAY * DAY) * clock, row.org, shortened(row, low)) for row in rows]


def shortened(row: TraceJob, scale: float) -> float:
    """The row's run time, scaled and kept within the bounds."""
    return min(max(row.seconds * scale, SHORTEST), LONGEST)


def quiet_half(jobs: Sequence[TraceJob]) -> set[str]:
    """The half of the orgs that ask for the least work."""
    work: dict[str, float] = defaultdict(float)
    for job in jobs:
        work[job.org] += job.seconds
    return set(sorted(work, key=lambda org: (work[org], org))[: len(work) // 2])


def read() -> list[TraceJob]:
    """Every job of the trace in its own seconds, in the order of submission."""
    jobs = []
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith(";"):
                fields = line.split()
                jobs.append(TraceJob(float(fields[1]), f"user{fields[11]}", float(fields[3])))
    return sorted(jobs)
