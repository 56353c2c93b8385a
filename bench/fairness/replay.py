"""The trace on a few slots: the quiet half of its users with all the others there, and alone."""

from __future__ import annotations

import time
from contextlib import ExitStack

from bench.fairness.arm import Arm
from bench.fairness.sender import Send
from bench.fairness.sizes import Sizes
from bench.fairness.storm import p95_ms
from bench.run import OURS, STOCK
from bench.trace import SHORTEST, quiet_half, week

# Half of the slots' time over the whole week: far more in its busy hours, nothing in its nights.
LOAD = 0.5
FINISH_SECONDS = 120


def replay(sizes: Sizes) -> dict[str, float]:
    """All arms at the same time, each on its own servers; return the quiet users' percentiles in ms."""
    jobs = week(sizes.seconds, sizes.slots, LOAD)
    quiet = quiet_half(jobs)
    everyone = [Send(*job) for job in jobs]
    few = [send for send in everyone if send.org in quiet]
    with ExitStack() as stack:
        arms = {
            "trace_quiet_p95": (stack.enter_context(Arm(OURS, slots=sizes.slots)), everyone),
            "trace_quiet_p95_alone": (stack.enter_context(Arm(OURS, slots=sizes.slots)), few),
            "celery_trace_quiet_p95": (stack.enter_context(Arm(STOCK, slots=sizes.slots)), everyone),
            "celery_trace_quiet_p95_alone": (stack.enter_context(Arm(STOCK, slots=sizes.slots)), few),
        }
        for arm, _ in arms.values():
            arm.preload([("warm-up", SHORTEST)] * 2 * sizes.slots)
            arm.work()
        senders = [arm.prepare(sends) for arm, sends in arms.values()]
        start = time.monotonic() + 1
        for sender in senders:
            sender.start(start)
        for sender in senders:
            sender.finish()
        return {
            name: p95_ms([job for job in arm.wait(len(sends), start, FINISH_SECONDS) if job.org in quiet])
            for name, (arm, sends) in arms.items()
        }
