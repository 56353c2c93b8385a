"""Who comes first: priorities within an org, and short jobs beside long ones."""

from __future__ import annotations

import random
import time

from tests.support.stack import Stack


def test_eleven_priorities_run_in_strict_order(stack: Stack) -> None:
    """Stock Celery knows four steps of them, and its prefetch defeats those."""
    jobs = [(priority, n) for priority in range(11) for n in range(5)]
    random.Random(1).shuffle(jobs)
    for priority, n in jobs:
        stack.enqueue("run", f"{priority}-{n}", priority=priority, org="acme")
    stack.worker(pool="threads", concurrency=1)
    stack.wait_ended(*[f"{priority}-{n}" for priority, n in jobs], within=30)
    stack.wait_empty()
    ran = [int(entry.job.split("-")[0]) for entry in stack.ledger.entries() if entry.event == "start"]
    assert ran == sorted(ran)


def test_short_jobs_do_not_wait_behind_a_long_one_in_another_workers_hands(stack: Stack) -> None:
    for _ in range(2):
        stack.worker(pool="prefork", concurrency=1)
    # Long enough to say so: the workers learn from it not to claim ahead.
    stack.enqueue("run", "first", 1.2)
    stack.wait_ended("first")
    stack.enqueue("hold", "long", "door")
    stack.wait_started("long")
    began = time.monotonic()
    jobs = [f"short-{n}" for n in range(10)]
    for job in jobs:
        stack.enqueue("run", job)
    stack.wait_ended(*jobs, within=10)
    assert time.monotonic() - began < 5
    stack.ledger.open("door")
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(["first", "long", *jobs])
