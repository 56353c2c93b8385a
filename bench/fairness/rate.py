"""A rate with a burst over a window: never above it in any part of the window, and used to the full."""

from __future__ import annotations

import time

from bench.fairness.arm import Arm
from bench.fairness.figures import rate_violations
from bench.fairness.sizes import Sizes
from bench.processes import Failed
from queueops.engine.rules.gates import Limits

PER_MINUTE = 600
BURST = 20
RUN_SECONDS = 0.005


def rate(sizes: Sizes) -> dict[str, float]:
    """One org with more jobs than its rate lets start, on a worker that has nothing else to do.

    Starts are counted at the claim as the broker stamped it. Returns violations and the percent used.
    """
    with Arm(slots=sizes.slots) as arm:
        arm.limits({"metered": Limits(rpm=PER_MINUTE, burst=BURST)})
        arm.preload([("metered", RUN_SECONDS)] * sizes.rate_backlog)
        arm.work()
        ran = arm.wait_until(time.monotonic() + sizes.seconds + 1)
    if len(ran) == sizes.rate_backlog:
        raise Failed("the whole backlog ran: the rate let it through, or it was too small")
    stamps = [job.claimed_ms for job in ran]
    if not all(stamps):
        raise Failed("a job does not know when it was claimed")
    first = min(stamps)
    started = sum(stamp - first <= 1000 * sizes.seconds for stamp in stamps)
    allowed = BURST + PER_MINUTE / 60 * sizes.seconds
    return {
        "rate_violations": rate_violations(stamps, BURST, PER_MINUTE / 60),
        "rate_used": 100 * started / allowed,
    }
