"""One org's backlog must not be another org's wait."""

from __future__ import annotations

import time

from tests.support.factories import new_job
from tests.support.polling import eventually
from tests.support.stack import Stack

JOBS = 200_000


def test_two_hundred_thousand_due_jobs_do_not_hold_up_anothers_one(stack: Stack) -> None:
    # Given one org's 200,000 jobs that all become due together, and another's one a moment after them
    due_ms = int(time.time() * 1000) + 12_000
    with stack.store() as store:
        for first in range(0, JOBS, 20_000):
            jobs = [
                new_job("ledger.run", ["big"], org="big", due_ms=due_ms) for _ in range(first, first + 20_000)
            ]
            assert set(store.enqueue("standard", jobs)) == {"scheduled"}
        small = new_job("ledger.run", ["small"], org="small", due_ms=due_ms + 1)
        store.enqueue("standard", [small])
    assert time.time() * 1000 < due_ms, "the machine was too slow to make them before they are due"
    assert stack.snapshot().scheduled == JOBS + 1
    # When a worker works on them
    worker = stack.worker(pool="threads", concurrency=2)
    eventually(lambda: stack.ledger.count() > 0, within=20, what="the first job")
    stack.wait_ended("small", within=5)
    # Then the one ran among the first
    order = [entry.job for entry in stack.ledger.entries() if entry.event == "start"]
    assert order.index("small") < 200
    worker.kill()
