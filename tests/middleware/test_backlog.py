"""Backlog limits: refused at the publish, never one job more."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from queueops import Item, enqueue_many
from queueops.errors import PublishError, QueueFull
from queueops.middleware.fairness import Fairness
from tests.middleware.conftest import Bench, Configure


@pytest.fixture
def task(bench: Bench) -> Any:
    @bench.task(name="work", attempts=2)
    def work(x: Any = None) -> None:
        raise RuntimeError("no")

    return work


def limit(bench: Bench, configure: Configure, **limits: int) -> None:
    configure(QUEUES={"standard": limits}, RETRY_POLICIES={"standard": {"base_seconds": 0.01}})
    Fairness().publish(bench.store)


def test_a_full_queue_refuses_with_depth_limit_and_a_hint(
    bench: Bench, configure: Configure, task: Any
) -> None:
    limit(bench, configure, max_ready=2)
    task.delay(1)
    task.delay(2)
    with pytest.raises(QueueFull, match="max_ready") as full:
        task.delay(3)
    assert (full.value.queue, full.value.depth, full.value.limit, full.value.org) == ("standard", 2, 2, "")
    assert isinstance(full.value, PublishError)
    # What is not ready, and other queues, are not refused
    task.apply_async((4,), countdown=60)
    task.apply_async((5,), queue="bulk")
    # and a retry of a job that was let in never is.
    bench.run(bench.claim("standard")[0])
    bench.claim("standard")
    task.delay(6)
    task.delay(7)
    with pytest.raises(QueueFull):
        task.delay(8)


def test_an_org_over_its_own_limit_does_not_close_the_queue_for_others(
    bench: Bench, configure: Configure, task: Any
) -> None:
    limit(bench, configure, max_ready_per_org=1)
    task.apply_async(org="acme")
    with pytest.raises(QueueFull, match="max_ready_per_org") as full:
        task.apply_async(org="acme")
    assert full.value.org == "acme"
    task.apply_async(org="apex")
    task.delay()
    task.delay()


def test_eight_publishers_never_make_one_more(bench: Bench, configure: Configure, task: Any) -> None:
    limit(bench, configure, max_ready=50)

    def publish(n: int) -> int:
        try:
            task.delay(n)
        except QueueFull as full:
            assert full.depth <= full.limit == 50
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(publish, range(400))) == 50
    assert bench.store.queue_snapshot("standard").ready == 50


def test_a_step_of_many_goes_in_whole_or_not_at_all(bench: Bench, configure: Configure, task: Any) -> None:
    limit(bench, configure, max_ready=700)
    with pytest.raises(QueueFull) as full:
        enqueue_many(task, [Item((n,)) for n in range(1_000)])
    assert len(full.value.enqueued) == bench.store.queue_snapshot("standard").ready == 500


def test_a_limit_that_is_taken_away_is_gone(bench: Bench, configure: Configure, task: Any) -> None:
    limit(bench, configure, max_ready=0)
    with pytest.raises(QueueFull):
        task.delay()
    limit(bench, configure)
    task.delay()
