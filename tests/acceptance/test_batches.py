"""Batch handlers: many jobs in one body, each with its own lease, end, retry and letter."""

from __future__ import annotations

import signal

import pytest
from celery import chain

from tests.support.polling import eventually, stays
from tests.support.stack import LEASE_SECONDS, Stack

QUICK_RETRIES = {"RETRY_POLICIES": {"standard": {"base_seconds": 0.2, "cap_seconds": 1}}}


def sizes(stack: Stack) -> dict[str, int]:
    """Of each job the size of the batch that it last ran in."""
    started = [entry for entry in stack.ledger.entries() if entry.event == "start"]
    return {entry.job: int(entry.worker.rpartition("/")[2]) for entry in started}


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent", "solo"])
def test_jobs_run_in_batches_that_are_full_or_whose_time_is_over(stack: Stack, pool: str) -> None:
    jobs = [f"job-{n}" for n in range(25)]
    for job in jobs:
        stack.enqueue("together", job, org=f"org-{job[-1]}")
    worker = stack.worker(pool=pool, concurrency=1)
    stack.wait_ended(*jobs)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(jobs)
    found = sorted(sizes(stack).values())
    assert max(found) == 10 and min(found) < 10
    assert stack.snapshot().totals["succeeded"] == 25
    worker.stop()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_each_job_of_a_batch_ends_on_its_own(stack: Stack, pool: str) -> None:
    ends = {"fine": "", "failing": "fail", "shaky": "once", "good": ""}
    stack.worker(pool=pool, concurrency=2, settings=QUICK_RETRIES)
    results = {job: stack.enqueue("together", job, how, org="acme") for job, how in ends.items()}
    eventually(lambda: len(stack.dead()) == 1, within=20, what="one dead letter")
    stack.wait_empty()
    assert [(letter.task_id, letter.detail["reason"]) for letter in stack.dead()] == [
        (results["failing"].id, "failed")
    ]
    assert stack.dead()[0].detail["error"].endswith("Refused")
    runs = {job: stack.ledger.starts(job) for job in ends}
    assert runs == {"fine": 1, "failing": 3, "shaky": 2, "good": 1}
    assert [entry.retries for entry in stack.ledger.of("shaky") if entry.event == "start"] == [0, 1]
    assert stack.snapshot().totals["succeeded"] == 3


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_body_that_raises_fails_those_of_which_it_has_said_nothing(stack: Stack, pool: str) -> None:
    for job, how in {"said": "", "raising": "raise", "unsaid": ""}.items():
        stack.enqueue("together", job, how)
    stack.worker(pool=pool, concurrency=1, settings=QUICK_RETRIES)
    eventually(lambda: len(stack.dead()) == 1, within=20, what="the letter of the one that raises")
    stack.wait_empty()
    assert stack.ledger.starts("said") == 1
    assert "unsaid" in stack.ledger.ended()
    assert stack.snapshot().totals["succeeded"] == 2


def test_a_batch_that_loses_its_child_runs_again(stack: Stack) -> None:
    jobs = {"one": "", "killer": "kill", "two": ""}
    for job, how in jobs.items():
        stack.enqueue("together", job, how)
    stack.worker(pool="prefork", concurrency=1)
    stack.wait_ended(*jobs, within=30)
    stack.wait_empty()
    assert not stack.dead()
    assert {job: stack.ledger.starts(job) for job in jobs} == {"one": 2, "killer": 2, "two": 1}


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_jobs_that_wait_or_run_longer_than_a_lease_are_not_given_to_another(stack: Stack, pool: str) -> None:
    waiting = ["waiting-0", "waiting-1", "waiting-2"]
    for job in waiting:
        stack.enqueue("patient", job, kwargs={"org": "acme" if job[-1] == "0" else "globex"})
    stack.enqueue("together", "long", "gate")
    stack.enqueue("together", "beside")
    stack.worker(pool="solo", concurrency=1, queues=["bulk"])  # it would reap what lapses
    stack.worker(pool=pool, concurrency=2)
    stack.wait_started("long")
    stays(lambda: "long" not in stack.ledger.ended(), during=LEASE_SECONDS + 1.5)
    stack.ledger.open("batch")
    stack.wait_ended(*waiting, "long", "beside", within=20)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once([*waiting, "long", "beside"])
    assert stack.snapshot().totals["lost"] == 0
    # Batches of one org each, and that org is the ambient one
    assert {job: sizes(stack)[job] for job in waiting} == {"waiting-0": 1, "waiting-1": 2, "waiting-2": 2}
    orgs = {entry.job: entry.org for entry in stack.ledger.entries() if entry.event == "start"}
    assert (orgs["waiting-0"], orgs["waiting-1"]) == ("acme", "globex")


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_that_stops_gives_back_what_waits_in_a_batch(stack: Stack, pool: str) -> None:
    jobs = [f"job-{n}" for n in range(4)]
    for job in jobs:
        stack.enqueue("patient", job, kwargs={"org": "acme"})
    leaving = stack.worker(pool=pool, concurrency=1)
    eventually(lambda: stack.snapshot().leased == 4, within=10, what="all wait in the batch")
    leaving.terminate()
    eventually(lambda: stack.snapshot().ready == 4, within=5, what="all are back in their lane")
    assert leaving.wait_exit(within=15) == 0
    assert stack.snapshot().totals["lost"] == 0
    stack.worker(pool=pool, concurrency=1)
    stack.wait_ended(*jobs, within=20)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(jobs)


def test_jobs_of_a_batch_that_was_killed_run_elsewhere(stack: Stack) -> None:
    jobs = [f"job-{n}" for n in range(4)]
    for job in jobs:
        stack.enqueue("patient", job, kwargs={"org": "acme"})
    dying = stack.worker(pool="threads", concurrency=1)
    eventually(lambda: stack.snapshot().leased == 4, within=10, what="all wait in the batch")
    dying.send_all(signal.SIGKILL)
    stack.worker(pool="threads", concurrency=1)
    stack.wait_ended(*jobs, within=30)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(jobs)


def test_a_chain_goes_on_from_one_job_of_a_batch(stack: Stack) -> None:
    tasks = stack.app.tasks
    chain(tasks["ledger.together"].s("first"), tasks["ledger.run"].s()).apply_async()
    stack.enqueue("together", "beside")
    stack.worker(pool="prefork", concurrency=2)
    eventually(lambda: stack.ledger.starts("first") == 2, within=20, what="the next member of the chain")
    stack.wait_empty()
    assert stack.snapshot().totals["succeeded"] == 3


def test_a_job_that_is_cancelled_while_it_waits_is_left_out(stack: Stack) -> None:
    results = [stack.enqueue("patient", f"job-{n}", kwargs={"org": "acme"}) for n in range(3)]
    stack.worker(pool="threads", concurrency=1)
    eventually(lambda: stack.snapshot().leased == 3, within=10, what="all wait in the batch")
    with stack.store() as store:
        assert store.cancel(results[1].id) == "cancelling"
    stack.wait_ended("job-0", "job-2", within=20)
    stack.wait_empty()
    assert stack.ledger.starts("job-1") == 0
    assert (stack.snapshot().totals["succeeded"], stack.snapshot().totals["cancelled"]) == (2, 1)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_connection_that_is_cut_while_jobs_wait_loses_and_doubles_none(stack: Stack, pool: str) -> None:
    jobs = [f"job-{n}" for n in range(4)]
    for job in jobs:
        stack.enqueue("patient", job, kwargs={"org": "acme"})
    proxy = stack.proxy()
    worker = stack.worker(pool=pool, concurrency=1, broker_url=proxy.broker_url)
    eventually(lambda: stack.snapshot().leased == 4, within=10, what="all wait in the batch")
    proxy.cut()
    stack.wait_ended(*jobs, within=40)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(jobs)
    assert set(sizes(stack).values()) == {4}, "still one batch"
    assert worker.alive()
