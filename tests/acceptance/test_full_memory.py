"""The broker's memory is full: nothing more comes in, and what is in can still be worked off."""

from __future__ import annotations

import pytest

from queueops.errors import BrokerFull
from tests.support.polling import eventually, stays
from tests.support.project import Project
from tests.support.stack import LEASE_SECONDS, Stack


def test_a_full_broker_refuses_new_jobs_clean_and_is_drained(stack: Stack) -> None:
    worker = stack.worker(pool="threads", concurrency=2)
    running = ["running-0", "running-1"]
    for job in running:
        stack.enqueue("hold", job, "door")
    stack.wait_started(*running)
    waiting = [f"waiting-{n}" for n in range(20)]
    for job in waiting:
        stack.enqueue("run", job, org=f"org-{job}")
    stack.enqueue("fail_for_good", "failing")
    before = stack.snapshot()

    stack.broker.fill()
    with pytest.raises(BrokerFull, match="memory is full"):
        stack.enqueue("run", "refused")
    with pytest.raises(BrokerFull):
        stack.enqueue("run", "refused later", countdown=60)
    # A refused job left nothing behind: no entry, no depth.
    after = stack.snapshot()
    assert (after.ready, after.scheduled, after.leased) == (before.ready, before.scheduled, before.leased)

    # Renewals get through, so that running jobs are not taken for lost.
    stays(lambda: stack.ledger.count() == 2, during=LEASE_SECONDS + 1, what="only the two running jobs")
    stack.ledger.open("door")
    stack.wait_ended(*running, *waiting)
    stack.wait_empty()
    # A failure must not vanish for want of room: it is dead, or it still waits to be written.
    eventually(lambda: len(stack.dead()) == 1, within=10, what="the dead letter")
    runs = [entry for entry in stack.ledger.entries() if entry.job != "failing"]
    assert len(runs) == 2 * len(running + waiting)

    stack.broker.limit_memory(0)
    stack.enqueue("run", "accepted")
    stack.wait_ended("accepted")
    stack.wait_empty()
    worker.stop()


def test_a_worker_that_starts_while_the_broker_is_full_drains_it(stack: Stack) -> None:
    jobs = [f"job-{n}" for n in range(20)]
    for job in jobs:
        stack.enqueue("run", job)
    stack.broker.fill()
    worker = stack.worker(pool="threads", concurrency=2)
    stack.wait_ended(*jobs)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(jobs)
    worker.stop()


def test_dead_letters_leave_a_full_broker_for_the_database(stack: Stack, project: Project) -> None:
    """Letters may be what fills it: their way out must not need the room that they take."""
    failing = [stack.enqueue("fail_for_good", f"failing-{n}").id for n in range(3)]
    stack.broker.fill()
    project.worker(pool="threads", concurrency=1)
    eventually(lambda: len(project.letters()) == 3, within=20, what="three rows")
    assert {letter["task_id"] for letter in project.letters()} == set(failing)
    eventually(lambda: not stack.dead(), within=5, what="the stream is empty")
    stack.wait_empty()
