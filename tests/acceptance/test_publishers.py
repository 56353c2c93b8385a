"""Eight publishing processes at once: a unique job is one job, and a full queue takes never one more."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.support.stack import Stack

PROCESSES = 8


def unique(broker_url: str, number: int) -> list[str]:
    """Enqueue three unique jobs, over and over; return the ids that were answered."""
    from tests.apps.ledger import make_app

    task = make_app(broker_url).tasks["ledger.run"]
    return [task.apply_async((f"job-{n % 3}",), unique=True).id for n in range(60)]


def crowd(broker_url: str, number: int) -> list[str]:
    """Enqueue until the queue is full, and then some; return how each call went."""
    from queueops.errors import QueueFull
    from tests.apps.ledger import make_app

    task = make_app(broker_url).tasks["ledger.run"]
    words = []
    for n in range(100):
        try:
            task.apply_async((f"{number}-{n}",), org=f"org-{n % 2}")
            words.append("taken")
        except QueueFull as full:
            words.append(f"{full.depth} of {full.limit} {full.org}".strip())
    return words


def together(stack: Stack, work: Callable[[str, int], list[str]]) -> list[str]:
    """Run ``work`` in eight processes at once; return all that they answered."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        runs: list[Any] = [pool.submit(work, stack.broker.broker_url, n) for n in range(PROCESSES)]
        return [answer for run in runs for answer in run.result(timeout=60)]


def test_a_unique_job_is_one_job_and_runs_once(stack: Stack) -> None:
    ids = together(stack, unique)
    assert len(ids) == PROCESSES * 60
    assert len(set(ids)) == 3
    seen = stack.snapshot()
    assert (seen.ready, seen.totals["existing"]) == (3, PROCESSES * 60 - 3)
    stack.worker(pool="threads", concurrency=4)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(["job-0", "job-1", "job-2"])


def test_a_full_queue_takes_never_one_more(stack: Stack) -> None:
    with stack.store() as store:
        store.set_queue("standard", max_ready=70, max_ready_per_org=50, exempt_org="default")
    words = Counter(together(stack, crowd))
    assert words.pop("taken") == 70 == stack.snapshot().ready
    assert all(word.startswith(("70 of 70", "50 of 50")) for word in words)


def test_a_limit_of_the_settings_holds_while_workers_make_room(stack: Stack) -> None:
    settings = {"QUEUES": {"standard": {"max_ready": 5}}}
    stack.worker(pool="threads", concurrency=1, settings=settings, env={"QUEUEOPS_PREFETCH": "0"})
    stack.enqueue("hold", "first", "door")
    stack.wait_started("first")
    words = Counter(together(stack, crowd))
    assert words == {"taken": 5, "5 of 5": PROCESSES * 100 - 5}
    stack.ledger.open("door")
    stack.wait_empty()
    stack.enqueue("run", "again")
    stack.wait_ended("again")
