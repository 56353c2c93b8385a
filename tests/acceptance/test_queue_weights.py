"""A worker on several queues serves them by their weights while all have work, and starves none."""

from __future__ import annotations

import signal

import pytest

from tests.support.factories import new_job
from tests.support.stack import Stack

WEIGHTS = {"critical": 10.0, "high": 5.0, "normal": 2.0, "low": 1.0, "bulk": 0.5}
JOBS = {"critical": 260, "high": 160, "normal": 80, "low": 50, "bulk": 40}
#: Starts that are looked at: all queues still have work.
LOOKED_AT = 370


@pytest.mark.parametrize(("pool", "concurrency"), [("prefork", 1), ("threads", 4)])
def test_queues_share_a_busy_worker_by_their_weights(stack: Stack, pool: str, concurrency: int) -> None:
    with stack.store() as store:
        for queue, number in JOBS.items():
            store.pause(queue)
            store.enqueue(queue, [new_job(args=(f"{queue}-{n}", 0.003), queue=queue) for n in range(number)])
    settings = {"QUEUES": {queue: {"weight": weight} for queue, weight in WEIGHTS.items()}, "PREFETCH": 0}
    worker = stack.worker(pool=pool, concurrency=concurrency, queues=list(WEIGHTS), settings=settings)
    # It stands still meanwhile, far shorter than a lease: all queues have work when it looks again.
    worker.send_all(signal.SIGSTOP)
    with stack.store() as store:
        for queue in WEIGHTS:
            store.resume(queue)
    worker.send_all(signal.SIGCONT)
    stack.wait_ended(*(f"{queue}-{n}" for queue, number in JOBS.items() for n in range(number)), within=60)

    starts = [entry.job.rpartition("-")[0] for entry in stack.ledger.entries() if entry.event == "start"]
    looked_at = starts[:LOOKED_AT]
    total = sum(WEIGHTS.values())
    for queue, weight in WEIGHTS.items():
        assert looked_at.count(queue) / LOOKED_AT == pytest.approx(weight / total, rel=0.15, abs=0.015), queue
    assert {queue: starts.count(queue) for queue in JOBS} == JOBS
