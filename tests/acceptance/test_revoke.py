"""Celery's revoke, remembered by the broker."""

from __future__ import annotations

import pytest

from tests.support.polling import eventually, stays
from tests.support.stack import Stack

POLICY = {"RETRY_POLICIES": {"standard": {"base_seconds": 0.2}}}


def test_jobs_revoked_while_no_worker_is_up_never_run(stack: Stack) -> None:
    # Given jobs that wait in every way, and no worker to hear of anything
    ready = stack.enqueue("run", "ready")
    later = stack.enqueue("run", "later", countdown=1)
    child = stack.enqueue("run", "child", after=ready)
    kept = stack.enqueue("run", "kept")
    # When they are revoked, as any code of a project does it
    for result in (ready, child):
        result.revoke()
    stack.app.control.revoke([later.id])
    # Then a worker that starts afterwards runs the other one alone
    stack.worker(pool="prefork", concurrency=1)
    stack.wait_ended("kept")
    stays(lambda: stack.ledger.count() == 2, during=1.5, what="nothing else runs, also not at its time")
    stack.wait_empty()
    assert [entry.task_id for entry in stack.ledger.of("kept")] == [kept.id]
    assert stack.snapshot().totals["cancelled"] == 3


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_a_running_job_is_terminated(stack: Stack, pool: str) -> None:
    stack.worker(pool=pool, concurrency=1)
    running = stack.enqueue("run", "running", 600)
    stack.wait_started("running")
    running.revoke(terminate=True)
    stack.enqueue("run", "next")
    stack.wait_ended("next", within=15)
    stack.wait_empty()
    assert (stack.ledger.starts("running"), stack.ledger.ends("running")) == (1, 0)
    assert stack.snapshot().totals["cancelled"] == 1
    assert not stack.dead()


def test_a_running_thread_ends_by_itself_as_cancelled(stack: Stack) -> None:
    stack.worker(pool="threads", concurrency=1)
    running = stack.enqueue("hold", "running", "door")
    stack.wait_started("running")
    running.revoke(terminate=True)
    with stack.store() as store:
        eventually(lambda: store.client.hexists("qo1:cancelled", running.id), within=5, what="the mark")
    # Long enough for the worker to hear of it by a renewal, if not by the broadcast.
    stays(lambda: stack.snapshot().leased == 1, during=2, what="its lease runs on")
    stack.ledger.open("door")
    stack.wait_empty()
    assert stack.ledger.ends("running") == 1
    assert stack.snapshot().totals["cancelled"] == 1


def test_without_terminate_a_run_ends_but_is_the_last_one(stack: Stack) -> None:
    stack.worker(pool="prefork", concurrency=2, settings=POLICY)
    well = stack.enqueue("hold", "well", "door")
    badly = stack.enqueue("hold_and_fail", "badly", "door")
    stack.wait_started("well", "badly")
    stack.app.control.revoke([well.id, badly.id])
    # Renewals tell the worker, which must not stop them.
    stays(lambda: stack.snapshot().leased == 2, during=2.5, what="both run on")
    stack.ledger.open("door")
    stack.wait_empty()
    assert (stack.ledger.ends("well"), stack.ledger.starts("badly")) == (1, 1)
    totals = stack.snapshot().totals
    assert (totals["succeeded"], totals["cancelled"], totals["retried"]) == (1, 1, 0)
    assert not stack.dead(), "cancelled by a person: nothing died"


def test_a_job_that_a_worker_holds_and_has_not_started_does_not_start(stack: Stack) -> None:
    stack.worker(pool="threads", concurrency=1, env={"QUEUEOPS_PREFETCH": "4"})
    stack.enqueue("hold", "first", "door")
    stack.wait_started("first")
    ahead = stack.enqueue("run", "ahead")
    eventually(lambda: stack.snapshot().leased == 2, within=10, what="it is claimed ahead")
    ahead.revoke()
    eventually(lambda: stack.snapshot().totals["cancelled"] == 1, within=10, what="its end")
    stack.ledger.open("door")
    stack.wait_empty()
    assert stack.ledger.starts("ahead") == 0
