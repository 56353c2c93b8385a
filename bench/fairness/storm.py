"""Quiet orgs beside a storm: one org's great backlog on the same slots, without a cap and with a share."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import ExitStack

from bench.fairness.arm import Arm, Ran
from bench.fairness.figures import fifo_turnarounds, overlap, p95
from bench.fairness.sender import Send
from bench.fairness.sizes import Sizes
from bench.run import OURS, STOCK
from queueops.engine.rules.gates import Limits

ORGS = 50
PER_SECOND = 2.0
# Uniform lengths: with fixed ones the slots stay in step, and the step is what would be measured.
SHORTEST, LONGEST = 0.05, 0.15
SHARE = 0.75
FINISH_SECONDS = 60
Jobs = list[tuple[str, float]]


def storm(sizes: Sizes, seed: int) -> dict[str, float]:
    """All arms at the same time, each on its own servers; return percentiles in ms and the idle share in %.

    The quiet jobs are the same in every arm: same times, orgs and lengths.
    """
    seeded = random.Random(seed)
    sends = quiet_sends(sizes.seconds, seeded)
    calm: Jobs = [("warm-up", SHORTEST)] * 2 * sizes.slots
    loud: Jobs = [("storm", seeded.uniform(SHORTEST, LONGEST)) for _ in range(sizes.storm)]
    with ExitStack() as stack:
        alone, beside, shared, celery_alone, celery_beside = arms = [
            stack.enter_context(Arm(app, slots=sizes.slots)) for app in (OURS, OURS, OURS, STOCK, STOCK)
        ]
        for arm, jobs in zip(arms, (calm, loud, loud, calm, loud), strict=True):
            arm.preload(jobs)
            arm.work()
        # Not before: a worker that starts publishes what the settings say of every org's default.
        shared.limits({"": Limits(share=SHARE)})
        senders = [arm.prepare(sends) for arm in arms]
        start = time.monotonic() + 1
        end = start + sizes.seconds
        for sender in senders:
            sender.start(start)
        for sender in senders:
            sender.finish()
        figures = {
            "quiet_p95_alone": p95_ms(alone.wait(len(sends), start, FINISH_SECONDS)),
            "quiet_p95": p95_ms(beside.wait(len(sends), start, FINISH_SECONDS)),
            "quiet_p95_shared": p95_ms(shared.wait(len(sends), start, FINISH_SECONDS)),
            "celery_quiet_p95_alone": p95_ms(celery_alone.wait(len(sends), start, FINISH_SECONDS)),
        }
        # What ran at the window's end has been recorded a job's length later.
        ran = beside.wait_until(end + 5 * LONGEST)
        busy = sum(overlap(job.start, job.end, (start, end)) for job in ran)
        figures["idle_while_claimable"] = 100 * (1 - busy / (beside.slots * sizes.seconds))
        figures["celery_quiet_p95"] = celery_p95_ms(
            celery_beside.wait_until(end), sends, (start, end), len(loud)
        )
    return figures


def quiet_sends(seconds: float, seeded: random.Random) -> list[Send]:
    """Jobs that arrive at random, each of any of the quiet orgs."""
    sends, moment = [], seeded.expovariate(PER_SECOND)
    while moment < seconds:
        org = f"quiet{seeded.randrange(ORGS)}"
        sends.append(Send(moment, org, seeded.uniform(SHORTEST, LONGEST)))
        moment += seeded.expovariate(PER_SECOND)
    return sends


def p95_ms(jobs: Sequence[Ran]) -> float:
    """The 95th percentile of the time from sending to the end, in ms."""
    return 1000 * p95([job.end - job.sent for job in jobs])


def celery_p95_ms(
    ran: Sequence[Ran], sends: Sequence[Send], window: tuple[float, float], backlog: int
) -> float:
    """The same for one line in which the quiet jobs stand behind the whole storm.

    The line is too long to wait for its end: where each job stands is exact, how fast it moves is measured.
    """
    rate = sum(window[0] <= job.end < window[1] for job in ran) / (window[1] - window[0])
    turnarounds = fifo_turnarounds(
        [window[0] + send.at for send in sends],
        [send.seconds for send in sends],
        backlog,
        [job.start for job in ran],
        rate,
    )
    return 1000 * p95(turnarounds)
