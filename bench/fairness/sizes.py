"""How large and how long the fairness scenarios are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """``seconds``: windows of storm, trace and rate; ``share_seconds``: those of the shares."""

    slots: int = 8
    seconds: float = 60
    storm: int = 50_000
    share_seconds: float = 30
    warm_up_seconds: float = 3
    many_workers: int = 10
    many_workers_slots: int = 2
    rate_backlog: int = 1_000


FULL = Sizes()
QUICK = Sizes(seconds=4, storm=2_000, share_seconds=2, warm_up_seconds=0.5, many_workers=2, rate_backlog=200)
