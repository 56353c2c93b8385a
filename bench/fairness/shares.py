"""Shares of worker time with all orgs backlogged: by weight, and with one org's jobs far longer."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from bench.fairness.arm import Arm
from bench.fairness.figures import overlap, share_error
from bench.fairness.sizes import Sizes
from bench.processes import Failed
from queueops.engine.rules.gates import Limits

# Backlogs last this many times as long as an exact share would use.
MARGIN = 1.6
STARTUP_SECONDS = 30


@dataclass(frozen=True)
class Org:
    """An org of a share scenario: its weight and how long its jobs sleep, uniform, in seconds."""

    weight: float
    shortest: float
    longest: float


WEIGHTED = {f"weight{weight}": Org(weight, 0.02, 0.04) for weight in (1, 2, 3, 4)}


def by_run_time(seconds: float) -> dict[str, Org]:
    """Five orgs of one weight; the jobs of one are ten times as long as the others'."""
    return {
        "long": Org(1, 10 * seconds, 10 * seconds),
        **{f"short{n}": Org(1, seconds, seconds) for n in range(4)},
    }


def weighted_share_error(sizes: Sizes) -> float:
    """Percent, one worker, four orgs of weights 1 to 4."""
    return measured_error(Arm(slots=sizes.slots), WEIGHTED, sizes)


def time_share_error(sizes: Sizes) -> float:
    """Percent, one worker."""
    return measured_error(Arm(slots=sizes.slots), by_run_time(0.02), sizes)


def time_share_error_ten_workers(sizes: Sizes) -> float:
    """Percent, ten workers; longer jobs, so that the machine is not what limits them."""
    arm = Arm(workers=sizes.many_workers, slots=sizes.many_workers_slots)
    return measured_error(arm, by_run_time(0.05), sizes)


def measured_error(arm: Arm, orgs: Mapping[str, Org], sizes: Sizes) -> float:
    """Preload every org, let the workers run, compare what each used in the window with its weight."""
    weights = {name: org.weight for name, org in orgs.items()}
    preloaded = backlog(orgs, arm.slots * (sizes.share_seconds + STARTUP_SECONDS) * MARGIN)
    with arm:
        arm.limits({name: Limits(weight=weight) for name, weight in weights.items()})
        arm.preload(preloaded)
        arm.work()
        start = time.monotonic() + sizes.warm_up_seconds
        end = start + sizes.share_seconds
        longest = max(org.longest for org in orgs.values())
        ran = arm.wait_until(end + longest + 0.5)
    left = Counter(org for org, _ in preloaded)
    used: dict[str, float] = defaultdict(float)
    for job in ran:
        left[job.org] -= 1
        used[job.org] += overlap(job.start, job.end, (start, end))
    # An org that ran dry gave its share to the others: nothing was measured.
    if dry := [org for org in orgs if left[org] <= arm.slots]:
        raise Failed(f"the backlog of {', '.join(dry)} ended before the window")
    return share_error(used, weights)


def backlog(orgs: Mapping[str, Org], slot_seconds: float) -> list[tuple[str, float]]:
    """Jobs (org, seconds) for so much worker time, divided by weight, shuffled."""
    seeded = random.Random(1)
    weight = sum(org.weight for org in orgs.values())
    jobs = []
    for name, org in orgs.items():
        count = round(slot_seconds * org.weight / weight / ((org.shortest + org.longest) / 2))
        jobs += [(name, seeded.uniform(org.shortest, org.longest)) for _ in range(count)]
    seeded.shuffle(jobs)
    return jobs
