"""A worker that is asked to stop gives back what it has not started and finishes what it has."""

from __future__ import annotations

import pytest

from tests.support.polling import eventually, stays
from tests.support.stack import LEASE_SECONDS, Stack


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent", "solo"])
def test_sigterm_with_work_in_hand(stack: Stack, pool: str) -> None:
    stack.enqueue("hold", "running", "door")
    ahead = [f"ahead-{n}" for n in range(5)]
    for job in ahead:
        stack.enqueue("run", job)
    leaving = stack.worker(pool=pool, concurrency=1, env={"QUEUEOPS_PREFETCH": "5"})
    stack.wait_started("running")
    eventually(lambda: stack.snapshot().leased == 6, within=5, what="one running and five claimed ahead")
    stack.worker(pool="threads", concurrency=2)
    leaving.terminate()
    stack.wait_ended(*ahead, within=10)
    assert stack.snapshot().totals["lost"] == 0, "they were given back, and not left to lapse"
    # The running job outlives its lease's length: renewals go on during the shutdown.
    stays(lambda: stack.ledger.starts("running") == 1, during=LEASE_SECONDS + 1.5)
    assert leaving.alive()
    stack.ledger.open("door")
    assert leaving.wait_exit(within=10) == 0
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(["running", *ahead])
    assert stack.snapshot().totals["lost"] == 0
    assert not stack.dead()


def test_the_last_worker_leaves_what_it_has_not_started_in_the_queue(stack: Stack) -> None:
    running = ["running-0", "running-1"]
    for job in running:
        stack.enqueue("hold", job, "door")
    waiting = [f"waiting-{n}" for n in range(8)]
    for job in waiting:
        stack.enqueue("run", job)
    leaving = stack.worker(pool="threads", concurrency=2, env={"QUEUEOPS_PREFETCH": "3"})
    stack.wait_started(*running)
    eventually(lambda: stack.snapshot().leased == 5, within=5)
    leaving.terminate()
    eventually(lambda: stack.snapshot().ready == 8, within=5, what="all eight back in their lane")
    stack.ledger.open("door")
    assert leaving.wait_exit(within=10) == 0
    seen = stack.snapshot()
    assert (seen.ready, seen.leased, seen.scheduled) == (8, 0, 0)
    stack.worker(pool="threads", concurrency=2)
    stack.wait_ended(*waiting)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once([*running, *waiting])


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_after_its_number_of_jobs_a_worker_exits_clean(stack: Stack, pool: str) -> None:
    jobs = [f"job-{n}" for n in range(12)]
    for job in jobs:
        stack.enqueue("run", job, 0.02)
    worker = stack.worker(pool=pool, concurrency=1, env={"QUEUEOPS_MAX_JOBS": "5"})
    assert worker.wait_exit(within=20) == 0
    ended = len(stack.ledger.ended())
    assert 5 <= ended < 12
    seen = stack.snapshot()
    assert (seen.ready, seen.leased) == (12 - ended, 0), "every other job waits, none is lost or held"
    stack.worker(pool=pool, concurrency=1)
    stack.wait_ended(*jobs)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(jobs)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_an_end_that_the_broker_has_not_heard_of_is_waited_for(stack: Stack, pool: str) -> None:
    """A deploy while the broker is away: what has run must not run again."""
    long_leases = {"QUEUEOPS_LEASE_SECONDS": "60", "QUEUEOPS_HEARTBEAT_SECONDS": "10"}
    proxy = stack.proxy()
    leaving = stack.worker(pool=pool, concurrency=1, broker_url=proxy.broker_url, env=long_leases)
    stack.enqueue("hold", "job", "door")
    stack.wait_started("job")
    proxy.refuse()
    stack.ledger.open("door")
    stack.wait_ended("job")
    leaving.terminate()
    stays(leaving.alive, during=2, what="the worker waits for its broker")
    proxy.accept()
    assert leaving.wait_exit(within=15) == 0
    # Settled, and not left to a lease that has a minute to go.
    stack.wait_empty(within=2)
    stack.worker(pool="threads", concurrency=1)
    stays(lambda: stack.ledger.starts("job") == 1, during=1)
    assert not stack.dead()
