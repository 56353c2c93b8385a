"""Every pool runs jobs, settles them and stops clean."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.polling import eventually
from tests.support.stack import LEASE_SECONDS, Stack
from tests.support.valkey import Valkey
from tests.support.worker import ROOT, environment

POOLS = ("prefork", "threads", "solo", "gevent")


@pytest.mark.parametrize(
    ("pool", "concurrency"), [("prefork", 2), ("threads", 4), ("solo", 1), ("gevent", 10)]
)
def test_a_pool_runs_jobs_and_settles_them(stack: Stack, pool: str, concurrency: int) -> None:
    early = [f"early-{n}" for n in range(20)]
    for job in early:
        stack.enqueue("run", job, 0.01, org=f"org-{job[-1]}")
    # Started with all that Celery starts by default.
    worker = stack.worker(pool=pool, concurrency=concurrency, mingle=True)
    late = [f"late-{n}" for n in range(20)]
    for job in late:
        stack.enqueue("run", job)
    stack.enqueue("fail_for_good", "failing")
    stack.enqueue("leave", "ignored", "ignore")
    stack.enqueue("leave", "rejected", "reject")
    stack.enqueue("run", "later", countdown=1.5)
    stack.wait_ended(*early, *late, "later")
    eventually(lambda: len(stack.dead()) == 2, within=10, what="two dead letters")
    stack.wait_empty()
    assert sorted(entry.detail["reason"] for entry in stack.dead()) == ["failed", "rejected"]
    runs = [entry for entry in stack.ledger.entries() if entry.event == "start"]
    assert len(runs) == len({entry.job for entry in runs}) == 44
    if concurrency > 1:
        assert stack.ledger.most_at_once() > 1
    seen = stack.snapshot()
    assert (seen.totals["succeeded"], seen.totals["dead"]) == (42, 2)
    worker.stop()


def test_a_job_longer_than_its_lease_runs_once_in_every_pool(stack: Stack, ledger_valkey: Valkey) -> None:
    """Renewals come from a thread of their own, whatever a pool does to the event loop."""
    # Side by side, each on a broker of its own, with a second worker that would reap what lapses.
    brokers = [Valkey() for _ in POOLS]
    stacks = [Stack(broker, ledger_valkey.url, stack.folder) for broker in brokers]
    try:
        for pool, own in zip(POOLS, stacks, strict=True):
            own.enqueue("run", "long", LEASE_SECONDS * 2 + 1)
            own.start_worker(pool=pool, concurrency=1)
            own.start_worker(pool="solo", concurrency=1, queues=["bulk"])
        for own in stacks:
            own.wait_ended("long", within=90)
            own.wait_empty()
            own.ledger.assert_each_ran_once(["long"])
    finally:
        for own, broker in zip(stacks, brokers, strict=True):
            own.close()
            broker.close()


def test_celerys_testing_worker_runs_again_and_again_in_one_process(stack: Stack) -> None:
    """A project's own tests start one for each test: the end of one must not be the end of the next."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.apps.twice"],
        cwd=ROOT,
        env=environment({"QUEUEOPS_BROKER_URL": stack.broker.broker_url}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split()[-1] == "first,second"
    stack.wait_empty()


@pytest.mark.slow
def test_five_hundred_greenlets_settle_every_short_job(stack: Stack) -> None:
    """Each of stock's acknowledgements takes a connection; past ten of them they fail."""
    # Leases as they are by default: a second of them would measure how busy the machine is.
    leases = {"QUEUEOPS_LEASE_SECONDS": "30", "QUEUEOPS_HEARTBEAT_SECONDS": "10"}
    worker = stack.worker(pool="gevent", concurrency=500, env=leases)
    jobs = [f"job-{n}" for n in range(3000)]
    for job in jobs:
        stack.enqueue("run", job, 0.05)
    stack.wait_ended(*jobs, within=120)
    stack.wait_empty(within=30)
    stack.ledger.assert_each_ran_once(jobs)
    assert stack.snapshot().totals["succeeded"] == len(jobs)
    assert "Too many connections" not in worker.log() and "Traceback" not in worker.log()
    worker.stop()
