"""One org's backlog must not be another org's wait."""

from __future__ import annotations

import time

import pytest

from tests.support.factories import new_job, new_message
from tests.support.polling import eventually
from tests.support.stack import Stack

JOBS = 200_000


@pytest.mark.slow
def test_two_hundred_thousand_due_jobs_do_not_hold_up_anothers_one(stack: Stack) -> None:
    # Given one org's 200,000 scheduled jobs that are all due, and another's one, due a moment after them
    due_ms = int(time.time() * 1000) - 60_000
    message = new_message("ledger.run", ["big"], org="big")
    with stack.store() as store:
        jobs = (
            new_job(tag=f"big-{n}", task_id=f"big-{n}", org="big", message=message, due_ms=due_ms)
            for n in range(JOBS)
        )
        # Enqueued "two minutes ago", so that they lie among the scheduled ones as after an outage.
        assert set(store.enqueue("standard", jobs, now_ms=due_ms - 60_000)) == {"scheduled"}
        small = new_job(args=["small"], org="small", due_ms=due_ms + 1)
        assert store.enqueue("standard", [small], now_ms=due_ms - 60_000) == ["scheduled"]
    assert stack.snapshot().scheduled == JOBS + 1
    # When a worker works on them
    worker = stack.worker(pool="threads", concurrency=2)
    eventually(lambda: stack.ledger.count() > 0, within=10, what="the first job")
    # Then the one runs among the first
    stack.wait_ended("small", within=5)
    order = [entry.job for entry in stack.ledger.entries() if entry.event == "start"]
    assert order.index("small") < 200
    worker.kill()
