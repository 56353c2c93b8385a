"""A worker, or a process of its pool, dies in mid-run."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.polling import eventually, stays
from tests.support.stack import LEASE_SECONDS, Stack


def test_a_killed_workers_jobs_run_elsewhere_within_a_lease(stack: Stack) -> None:
    in_hand = ["held-0", "held-1"]
    for job in in_hand:
        stack.enqueue("hold", job, "door")
    waiting = [f"waiting-{n}" for n in range(6)]
    for job in waiting:
        stack.enqueue("run", job)
    doomed = stack.worker(pool="prefork", concurrency=2, env={"QUEUEOPS_PREFETCH": "2"})
    stack.wait_started(*in_hand)
    eventually(lambda: stack.snapshot().leased == 4, within=5, what="two running and two claimed ahead")
    heir = stack.start_worker(pool="prefork", concurrency=2)
    doomed.kill()
    stack.ledger.open("door")
    heir.wait_ready()
    # From here on, so that a slow start of the heir does not count: the lease has at most its length left.
    ready = time.monotonic()
    stack.wait_ended(*in_hand, *waiting, within=LEASE_SECONDS + 12)
    assert time.monotonic() - ready < LEASE_SECONDS + 10
    stack.wait_empty()
    # What was running ran again, what only lay there ran once.
    for job in waiting:
        assert stack.ledger.starts(job) == 1
    for job in in_hand:
        assert (stack.ledger.starts(job), stack.ledger.ends(job)) == (2, 1)
    assert not stack.dead()


def test_a_job_that_kills_its_process_is_delivered_three_times_and_then_dead(stack: Stack) -> None:
    worker = stack.worker(pool="prefork", concurrency=2)
    stack.enqueue("kill_process", "poison")
    others = [f"other-{n}" for n in range(10)]
    for job in others:
        stack.enqueue("run", job, 0.05)
    letter = eventually(stack.dead, within=20, what="the dead letter")[0]
    assert letter.detail["reason"] == "worker_lost"
    assert letter.deliveries == 3
    assert stack.ledger.starts("poison") == 3
    stack.wait_ended(*others)
    stack.wait_empty()
    # A neighbour that was in the killed process's pool is not hurt: each ran once.
    for job in others:
        assert (stack.ledger.starts(job), stack.ledger.ends(job)) == (1, 1)
    assert len(stack.dead()) == 1
    worker.stop()


def test_a_job_that_kills_the_whole_worker_is_not_delivered_for_ever(stack: Stack) -> None:
    """An out-of-memory kill of the container takes the main process along: only the broker can count."""
    settings = {"DELIVERY_LIMIT": 2}
    stack.enqueue("hold", "poison", "nobody opens this")
    for delivery in (1, 2):
        worker = stack.worker(pool="threads", concurrency=1, settings=settings)
        eventually(lambda n=delivery: stack.ledger.starts("poison") == n, within=LEASE_SECONDS + 12)
        worker.kill()
    stack.worker(pool="threads", concurrency=1, settings=settings)
    letter = eventually(stack.dead, within=LEASE_SECONDS + 12, what="the dead letter")[0]
    assert (letter.detail["reason"], letter.deliveries) == ("worker_lost", 2)
    assert stack.ledger.starts("poison") == 2
    assert stack.is_empty()


def test_a_job_that_must_not_run_twice_dies_with_its_worker(stack: Stack) -> None:
    doomed = stack.worker(pool="threads", concurrency=1)
    stack.enqueue("hold_once", "once", "door")
    stack.wait_started("once")
    doomed.kill()
    stack.worker(pool="threads", concurrency=1)
    letter = eventually(stack.dead, within=LEASE_SECONDS + 12, what="the dead letter")[0]
    assert letter.detail["reason"] == "worker_lost"
    stays(lambda: stack.ledger.starts("once") == 1, during=0.5)
    assert stack.is_empty()


def test_a_job_that_must_not_run_twice_dies_with_its_child(stack: Stack) -> None:
    worker = stack.worker(pool="prefork", concurrency=1)
    stack.enqueue("kill_process", "once", delivery="at_most_once")
    letter = eventually(stack.dead, within=15, what="the dead letter")[0]
    assert letter.detail["reason"] == "worker_lost"
    stays(lambda: stack.ledger.starts("once") == 1, during=0.5)
    stack.wait_empty()
    worker.stop()


def test_a_hard_time_limit_ends_the_attempt_as_a_timeout(stack: Stack) -> None:
    worker = stack.worker(pool="prefork", concurrency=1)
    stack.enqueue("run", "endless", 600, time_limit=1, attempts=1)
    stack.enqueue("run", "next")
    stack.wait_ended("next", within=15)
    letter = eventually(stack.dead, within=10, what="the dead letter")[0]
    assert letter.detail["reason"] == "timeout"
    assert stack.ledger.starts("endless") == 1
    stack.wait_empty()
    worker.stop()


def test_a_hard_time_limit_with_attempts_left_is_retried(stack: Stack) -> None:
    settings = {"RETRY_POLICIES": {"standard": {"base_seconds": 0.5, "cap_seconds": 5}}}
    worker = stack.worker(pool="prefork", concurrency=1, settings=settings)
    stack.enqueue("run", "endless", 600, time_limit=1, attempts=2)
    letter = eventually(stack.dead, within=20, what="the dead letter")[0]
    assert letter.detail["reason"] == "timeout"
    assert stack.ledger.starts("endless") == 2
    stack.wait_empty()
    worker.stop()


def test_a_child_that_dies_after_it_has_published_its_retry_doubles_nothing(stack: Stack) -> None:
    """The publish of a retry and the end of the lease are one step, so there is nothing to give back."""
    worker = stack.worker(pool="prefork", concurrency=1)
    stack.enqueue("retry_and_die", "job")
    stack.wait_ended("job")
    stack.wait_empty()
    stays(lambda: stack.ledger.starts("job") == 2, during=LEASE_SECONDS + 1)
    assert not stack.dead()
    worker.stop()


@pytest.mark.parametrize("task", ["succeed_and_die", "succeed_once_and_die"])
def test_a_process_that_dies_after_its_result_is_stored_leaves_no_slot_behind(
    stack: Stack, task: str
) -> None:
    results = {"result_backend": f"redis://127.0.0.1:{stack.broker.port}/9"}
    stack.worker(pool="prefork", concurrency=1, env={"LEDGER_CONF": json.dumps(results)})
    jobs = [f"job-{n}" for n in range(3)]
    for job in jobs:
        stack.enqueue(task, job)
    stack.enqueue("run", "after")
    stack.wait_ended(*jobs, "after", within=30)
    stack.wait_empty(within=10)
    stack.ledger.assert_each_ran_once([*jobs, "after"])
    assert not stack.dead()
    totals = stack.snapshot().totals
    assert (totals["succeeded"], totals["lost"]) == (4, 0)
