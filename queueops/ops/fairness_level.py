"""Fairness as a service level: how fairly a queue was shared of late, in numbers that can be watched.

All of it is told from the latest attempts of the queue that ended, :data:`ATTEMPTS` at most. A part of the
run time counts all of these; the other figures count those of the last :data:`WINDOW_SECONDS`.

- **share** of an org: its run time / the run time of all. Where a queue is shared by number of jobs, an
  attempt counts 1 and its run time nothing.
- **fair share** of an org: its weight / the sum of the weights of all orgs with attempts.
- **quiet org**: its share is less than half of its fair share, so it asks for less than it could have.
- **slowdown** of an attempt: max(1, (wait + run) / max(run, 1 s)): how much longer it took than it would
  have alone; runs under a second count as one, so that 50 ms of waiting for a job of 1 ms are not a
  slowdown of 51. The **quiet slowdown** is the 95th percentile over all attempts of quiet orgs; 1 is
  perfect.
- **weighted share error**: of the orgs that had a backlog all the while (the first of their attempts was
  ready when the window began, one of their jobs is ready now and no gate holds it, and at least 10 attempts
  ended), the largest difference, up or down, between share and weight: |share / weight × sum of weights /
  sum of shares − 1|. 0 is perfect.
- **idle while claimable**: slots of workers that hold no job while a job could be claimed: the smaller of
  both numbers. A moment of it is the time between a job's end and the next claim; minutes of it are a
  fault.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from queueops.engine.tallies import Attempt
from queueops.engine.types import WorkerInfo

__all__ = [
    "ATTEMPTS",
    "WINDOW_SECONDS",
    "Fairness",
    "OrgUse",
    "fairness",
    "idle_slots",
    "shares",
    "slowdown",
    "uses",
]

#: The latest attempts of a queue that its figures are told from.
ATTEMPTS = 2_000
WINDOW_SECONDS = 300
#: Seconds that a shorter run counts as in a slowdown.
LEAST_RUN_SECONDS = 1.0
#: Attempts below which an org's share says little.
LEAST_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class OrgUse:
    """What the latest attempts of one org came to. `share` is 0 to 1; the wait is the mean, in seconds."""

    attempts: int
    share: float
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Fairness:
    """The figures of one queue, as the module defines them; None where too little happened to tell.

    Attributes:
        quiet_orgs: orgs that the slowdown was told from.
        backlogged_orgs: orgs that the share error was told from.
    """

    quiet_orgs: int
    quiet_slowdown: float | None
    backlogged_orgs: int
    share_error: float | None


def shares(attempts: Iterable[Attempt], *, by_count: bool = False) -> dict[str, float]:
    """Return each org's part of what ran, 0 to 1; empty when nothing has run."""
    used: defaultdict[str, float] = defaultdict(float)
    for one in attempts:
        used[one.org] += 1.0 if by_count else one.run_ms
    total = sum(used.values())
    return {org: ms / total for org, ms in used.items()} if total else {}


def uses(attempts: Sequence[Attempt], *, by_count: bool = False) -> dict[str, OrgUse]:
    """Return what each org had of these attempts."""
    parts = shares(attempts, by_count=by_count)
    waits: defaultdict[str, list[int]] = defaultdict(list)
    for one in attempts:
        waits[one.org].append(one.wait_ms)
    return {
        org: OrgUse(len(found), parts.get(org, 0.0), sum(found) / len(found) / 1000)
        for org, found in waits.items()
    }


def fairness(
    attempts: Iterable[Attempt],
    now_ms: int,
    weights: Mapping[str, float],
    claimable: Collection[str],
    *,
    by_count: bool = False,
) -> Fairness:
    """Tell the figures of a queue.

    Args:
        attempts: the latest that ended.
        now_ms: the broker's time.
        weights: by org; that of the orgs that are not there is under "".
        claimable: orgs with a ready job that no gate holds.
        by_count: the queue is shared by number of jobs.
    """
    recent = [one for one in attempts if one.ended_ms > now_ms - WINDOW_SECONDS * 1000]
    parts = shares(recent, by_count=by_count)
    usual = weights.get("", 1.0)
    total = sum(weights.get(org, usual) for org in parts)
    quiet = {org for org, part in parts.items() if part < weights.get(org, usual) / total / 2}
    slowdowns = [slowdown(one) for one in recent if one.org in quiet]
    backlogged = _backlogged(recent, set(claimable))
    return Fairness(
        quiet_orgs=len(quiet),
        quiet_slowdown=_p95(slowdowns),
        backlogged_orgs=len(backlogged),
        share_error=_share_error({org: (parts.get(org, 0.0), weights.get(org, usual)) for org in backlogged}),
    )


def slowdown(attempt: Attempt) -> float:
    """Return how much longer an attempt took from ready to end than its run alone."""
    return max(1.0, (attempt.wait_ms + attempt.run_ms) / max(attempt.run_ms, LEAST_RUN_SECONDS * 1000))


def idle_slots(workers: Iterable[WorkerInfo], queue: str, claimable_jobs: int) -> int:
    """Return how many slots stand idle that a claimable job of the queue could have.

    Args:
        workers: the living ones; those that are quiet offer no slot.
        claimable_jobs: ready ones that no gate holds.
    """
    idle = sum(max(0, one.slots - one.leases) for one in workers if queue in one.queues)
    return min(idle, max(0, claimable_jobs))


def _backlogged(attempts: Sequence[Attempt], claimable: Collection[str]) -> list[str]:
    began_ms = min((one.claimed_ms for one in attempts), default=0)
    first: dict[str, Attempt] = {}
    number: defaultdict[str, int] = defaultdict(int)
    for one in attempts:
        number[one.org] += 1
        if one.org not in first or one.claimed_ms < first[one.org].claimed_ms:
            first[one.org] = one
    return sorted(
        org
        for org, one in first.items()
        if org in claimable and number[org] >= LEAST_ATTEMPTS and one.claimed_ms - one.wait_ms <= began_ms
    )


def _share_error(parts: Mapping[str, tuple[float, float]]) -> float | None:
    whole, weight = sum(part for part, _ in parts.values()), sum(one for _, one in parts.values())
    if len(parts) < 2 or not whole:
        return None
    return max(abs(part / whole / (own / weight) - 1) for part, own in parts.values())


def _p95(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return values[0] if values else None
    return statistics.quantiles(values, n=20, method="inclusive")[-1]
