"""Connections break, again and again and at the worst moments."""

from __future__ import annotations

import pytest

from tests.support.polling import eventually, stays
from tests.support.stack import LEASE_SECONDS, Stack

# Long leases, so that a test which passes in seconds was not saved by a lease that lapsed.
LONG_LEASES = {"QUEUEOPS_LEASE_SECONDS": "60", "QUEUEOPS_HEARTBEAT_SECONDS": "10"}


def under_cuts(stack: Stack, pool: str, *, jobs: int, seconds: float, concurrency: int, cuts: int) -> None:
    """Run ``jobs`` of ``seconds`` each while the worker's connections are cut every two seconds."""
    proxy = stack.proxy()
    worker = stack.worker(pool=pool, concurrency=concurrency, broker_url=proxy.broker_url)
    names = [f"job-{n}" for n in range(jobs)]
    for job in names:
        stack.enqueue("run", job, seconds)
    stack.wait_started(names[0])
    proxy.cut_every(2)
    stack.wait_ended(*names, within=jobs * seconds / concurrency * 4 + 20)
    assert proxy.cuts >= cuts
    proxy.cut_every(0)
    stack.wait_empty(within=LEASE_SECONDS + 12)
    stack.ledger.assert_each_ran_once(names)
    assert not stack.dead()
    worker.stop()


@pytest.mark.parametrize(("pool", "concurrency"), [("prefork", 2), ("threads", 4)])
def test_a_connection_cut_every_two_seconds_under_load(stack: Stack, pool: str, concurrency: int) -> None:
    under_cuts(stack, pool, jobs=24 * concurrency, seconds=0.35, concurrency=concurrency, cuts=3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pool", "concurrency"), [("prefork", 2), ("threads", 8), ("solo", 1), ("gevent", 20)]
)
def test_a_minute_of_cuts_under_load(stack: Stack, pool: str, concurrency: int) -> None:
    under_cuts(stack, pool, jobs=30 * concurrency, seconds=2, concurrency=concurrency, cuts=25)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_jobs_in_hand_when_the_connection_breaks_run_once(stack: Stack, pool: str) -> None:
    """One slot and several jobs claimed: stock Celery drops what was handed over, or runs it again."""
    proxy = stack.proxy()
    stack.enqueue("hold", "running", "door")
    ahead = [f"ahead-{n}" for n in range(6)]
    for job in ahead:
        stack.enqueue("run", job)
    worker = stack.worker(
        pool=pool, concurrency=1, broker_url=proxy.broker_url, env={**LONG_LEASES, "QUEUEOPS_PREFETCH": "4"}
    )
    stack.wait_started("running")
    eventually(lambda: stack.snapshot().leased == 5, within=5, what="one running and four claimed ahead")
    proxy.cut()
    stays(lambda: stack.ledger.count() == 1, during=1.5, what="the job that was running, once")
    stack.ledger.open("door")
    stack.wait_ended("running", *ahead, within=10)
    stack.wait_empty(within=10)
    stack.ledger.assert_each_ran_once(["running", *ahead])
    worker.stop()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_what_another_got_while_the_connection_was_gone_is_not_run(stack: Stack, pool: str) -> None:
    """The broker knows nothing of the claim, as a replica that was promoted before it heard of it."""
    proxy = stack.proxy()
    stack.enqueue("hold", "running", "door")
    ahead = [f"ahead-{n}" for n in range(4)]
    for job in ahead:
        stack.enqueue("run", job)
    stack.worker(
        pool=pool, concurrency=1, broker_url=proxy.broker_url, env={**LONG_LEASES, "QUEUEOPS_PREFETCH": "4"}
    )
    stack.wait_started("running")
    eventually(lambda: stack.snapshot().leased == 5, within=5, what="one running and four claimed ahead")
    proxy.refuse()
    proxy.cut()
    with stack.store() as store:
        [holder] = [worker.holder for worker in store.workers()]
        store.leave(holder)
        claim = store.claim(["standard"], 10, 0, "another", 1)
        assert len(claim.jobs) == 5
        stack.ledger.open("door")
        stack.wait_ended("running")
        proxy.accept()
        stays(lambda: not any(map(stack.ledger.starts, ahead)), during=5, what="none that another has")
        store.release([job.token for job in claim.jobs if job.task != "ledger.hold"])
        stack.wait_ended(*ahead, within=20)


def test_a_lost_claim_answer_gives_the_job_back_at_once(stack: Stack) -> None:
    proxy = stack.proxy()
    worker = stack.worker(pool="threads", concurrency=2, broker_url=proxy.broker_url, env=LONG_LEASES)
    lost = proxy.lose_reply_with(b'"id": "marked-job"')
    stack.enqueue("run", "job", task_id="marked-job")
    assert lost.wait(10), "the claim was answered"
    stack.wait_ended("job", within=15)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(["job"])
    assert not stack.dead()
    worker.stop()


def test_lost_claim_answers_do_not_use_up_the_deliveries(stack: Stack) -> None:
    """A job that never ran must not die of it, however often the network swallowed it."""
    proxy = stack.proxy()
    stack.worker(pool="threads", concurrency=2, broker_url=proxy.broker_url, env=LONG_LEASES)
    stack.enqueue("run", "warm")
    stack.wait_ended("warm")
    lost = proxy.lose_reply_with(b'"id": "marked-job"')
    stack.enqueue("run", "job", task_id="marked-job")
    for _ in range(4):
        assert lost.wait(15), "the claim was answered"
        lost = proxy.lose_reply_with(b'"id": "marked-job"')
    proxy.lose_nothing()
    stack.wait_ended("job", within=15)
    assert not stack.dead()


def test_a_lost_answer_to_a_publish_does_not_double_the_job(stack: Stack) -> None:
    proxy = stack.proxy()
    app = stack.make_app(proxy.broker_url)
    stack.worker(pool="threads", concurrency=2)
    jobs = [f"job-{n}" for n in range(5)]
    for job in jobs:
        # The job may have run and ended before the publisher sends it again.
        lost = proxy.lose_reply_to(f'"id": "id-of-{job}"'.encode())
        app.tasks["ledger.run"].apply_async((job,), queue="standard", task_id=f"id-of-{job}")
        assert lost.is_set()
    stack.wait_ended(*jobs)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(jobs)


def test_a_lost_answer_to_a_settle_does_not_run_the_job_again(stack: Stack) -> None:
    proxy = stack.proxy()
    worker = stack.worker(pool="threads", concurrency=1, broker_url=proxy.broker_url, env=LONG_LEASES)
    jobs = [f"job-{n}" for n in range(3)]
    for job in jobs:
        lost = proxy.lose_reply_to(b"succeeded")
        stack.enqueue("run", job)
        assert lost.wait(15), "the settle was sent"
    stack.wait_ended(*jobs)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(jobs)
    assert stack.snapshot().totals["succeeded"] == len(jobs)
    worker.stop()


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_lost_answer_to_a_retry_does_not_double_the_attempt(stack: Stack, pool: str) -> None:
    """The body's process publishes the next attempt; that publish ends the lease, answered or not."""
    proxy = stack.proxy()
    settings = {"RETRY_POLICIES": {"standard": {"base_seconds": 0.5, "cap_seconds": 5}}}
    worker = stack.worker(
        pool=pool, concurrency=1, broker_url=proxy.broker_url, env=LONG_LEASES, settings=settings
    )
    lost = proxy.lose_reply_to(b'"retries": 1')
    stack.enqueue("fail", "job", 2)
    assert lost.wait(15), "the retry was published"
    stack.wait_ended("job")
    stack.wait_empty()
    assert [entry.retries for entry in stack.ledger.of("job")] == [0, 1, 2]
    assert not stack.dead()
    worker.stop()
