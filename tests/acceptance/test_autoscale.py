"""Slots that follow the backlog, or what a person has set; several workers of a queue divide them."""

from __future__ import annotations

from typing import Any

import pytest

from queueops.engine.types import Scale
from tests.support.polling import eventually, stays
from tests.support.stack import Stack

RULE: dict[str, Any] = {"up_at": 5, "up_by": 2, "max": 5, "down_at": 2, "down_by": 1, "min": 1, "every": 0.5}


SLOW = pytest.mark.slow


def settings(**changes: Any) -> dict[str, Any]:
    """QUEUEOPS with a rule for the standard queue."""
    return {"QUEUES": {"standard": {"autoscale": {**RULE, **changes}}}}


def sizes(stack: Stack) -> list[int]:
    """Slots of each registered worker, the most first."""
    with stack.store() as store:
        return sorted((one.size for one in store.workers()), reverse=True)


def put(stack: Stack, count: int, *, seconds: float = 0.0) -> None:
    """Set the slots of the standard queue, as `scaling.scale` does beside telling the workers."""
    with stack.store() as store:
        now_ms = store.now_ms()
        until_ms = now_ms + round(seconds * 1000) if seconds else 0
        store.set_scale(Scale("standard", count, until_ms, now_ms, "maria", ""))


@pytest.mark.parametrize(
    "pool", ["prefork", pytest.param("threads", marks=SLOW), pytest.param("gevent", marks=SLOW)]
)
def test_slots_follow_the_backlog_within_the_bounds(stack: Stack, pool: str) -> None:
    worker = stack.worker(pool=pool, concurrency=1, autoscale="4,2", settings=settings())
    eventually(lambda: sizes(stack) == [2], within=20, what="it begins with the least")
    jobs = [f"job-{n}" for n in range(14)]
    for job in jobs:
        stack.enqueue("hold", job, "door")
    eventually(lambda: sizes(stack) == [4], within=30, what="the most of its bounds, not of the rule")
    eventually(lambda: stack.ledger.running() == 4, within=20, what="four run")
    assert "standard wants" in worker.log()
    stack.ledger.open("door")
    eventually(lambda: sizes(stack) == [2], within=40, what="the least again")
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(jobs)
    assert stack.snapshot().totals["lost"] == 0


@pytest.mark.slow
def test_two_workers_divide_what_the_rule_wants(stack: Stack) -> None:
    stack.worker(pool="threads", autoscale="4,1", settings=settings())
    stack.worker(pool="threads", autoscale="4,1", settings=settings())
    for n in range(20):
        stack.enqueue("hold", f"job-{n}", "door")
    eventually(lambda: sizes(stack) == [3, 2], within=40, what="five slots on two workers")
    stays(lambda: sizes(stack) == [3, 2], during=5, what="they do not fight")
    stack.ledger.open("door")
    # One is the least that the rule wants, and each worker has at least one.
    eventually(lambda: sizes(stack) == [1, 1], within=40)


def test_what_a_person_sets_holds_until_its_end(stack: Stack) -> None:
    stack.worker(pool="threads", concurrency=2, settings=settings())
    stack.worker(pool="threads", autoscale="3,1", settings=settings())
    eventually(lambda: sizes(stack) == [2, 1], within=20)
    put(stack, 9)
    eventually(lambda: sizes(stack) == [5, 4], within=20, what="nine, beyond the bounds and without backlog")
    put(stack, 4)
    eventually(lambda: sizes(stack) == [2, 2], within=20, what="the later setting")
    put(stack, 8, seconds=15)
    eventually(lambda: sizes(stack) == [4, 4], within=20)
    # The rule wants less than the worker with an autoscaler had before; the other one has its own number.
    eventually(lambda: sizes(stack) == [2, 1], within=40, what="what they had before")
    put(stack, 6)
    eventually(lambda: sizes(stack) == [3, 3], within=20)
    with stack.store() as store:
        assert store.drop_scale("standard")
    eventually(lambda: sizes(stack) == [2, 1], within=40, what="what they had before")


@pytest.mark.slow
def test_the_slots_of_a_quiet_worker_are_the_others(stack: Stack) -> None:
    quiet = stack.worker(pool="threads", concurrency=2)
    stack.worker(pool="threads", concurrency=2)
    put(stack, 6)
    eventually(lambda: sizes(stack) == [3, 3], within=20)

    def answered() -> Any:
        return stack.app.control.broadcast(
            "queueops_quiet", arguments={"on": True}, destination=[quiet.hostname], reply=True, timeout=3
        )

    eventually(answered, within=30)
    eventually(lambda: sizes(stack) == [6, 3], within=20, what="six on the one that takes jobs")


@pytest.mark.slow
def test_a_worker_can_be_scaled_by_the_commands_that_celery_knows(stack: Stack) -> None:
    worker = stack.worker(pool="threads", concurrency=2)
    control, here = stack.app.control, {"destination": [worker.hostname], "reply": True, "timeout": 3}
    put(stack, 3)
    eventually(lambda: sizes(stack) == [3], within=20)
    eventually(lambda: control.pool_grow(4, **here), within=30)
    eventually(lambda: sizes(stack) == [7], within=20)
    stays(lambda: sizes(stack) == [7], during=4, what="it was asked later than what was set for the queue")
    assert control.pool_shrink(5, **here) == [{worker.hostname: {"ok": "pool will shrink: 2 slots"}}]
    eventually(lambda: sizes(stack) == [2], within=20)
