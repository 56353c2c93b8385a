"""Pauses of one task's name, and queues that are resumed gradually."""

from __future__ import annotations

import pytest

from tests.engine.invariants import check
from tests.engine.world import QUEUE, World
from tests.support.clock import START_MS


def test_a_paused_task_is_put_aside_and_others_of_its_org_go_on(world: World) -> None:
    world.enqueue("acme", number=3, task="tasks.report")
    world.enqueue("acme", number=2)
    world.store.pause(QUEUE, task="tasks.report", by="ann", reason="bad deploy", now_ms=world.now)

    assert [job.task for job in world.take(9)] == ["tasks.work"] * 2
    assert world.queue().ready == 3, "they are ready, and held"
    assert world.store.paused_tasks(QUEUE)["tasks.report"].reason == "bad deploy"
    assert world.store.paused(QUEUE) == {}
    check(world)


def test_they_come_back_with_their_rank_a_step_at_a_time(world: World) -> None:
    early = world.enqueue("acme", number=150, task="tasks.report")
    world.clock.advance(seconds=1)
    world.store.pause(QUEUE, task="tasks.report", now_ms=world.now)
    world.take(9)
    world.enqueue("acme", number=5)

    assert world.store.resume(QUEUE, task="tasks.report", now_ms=world.now)
    assert world.bell()
    taken = world.take(155)

    assert {job.tag for job in taken[:60]} <= {job.tag for job in early}
    assert len(taken) == 155
    assert not [key for key in world.keyspace() if ":aside:" in key]
    assert not world.store.resume(QUEUE, task="tasks.report", now_ms=world.now)
    check(world)


def test_a_pause_of_a_task_ends_by_itself(world: World) -> None:
    world.enqueue("acme", number=2, task="tasks.report")
    world.store.pause(QUEUE, task="tasks.report", until_ms=world.now + 60_000, now_ms=world.now)
    assert world.take(9) == []
    world.clock.advance(seconds=60)

    assert len(world.take(9)) == 2
    check(world)


def test_a_purge_takes_what_was_put_aside(world: World) -> None:
    world.enqueue("acme", number=3, task="tasks.report")
    world.store.pause(QUEUE, task="tasks.report", now_ms=world.now)
    world.take(9)

    assert world.store.purge(QUEUE, now_ms=world.now) == 3
    assert world.queue().ready == 0
    check(world)


@pytest.mark.parametrize("concurrency", [None, 8])
def test_a_queue_opens_gradually(world: World, concurrency: int | None) -> None:
    world.register("w1", slots=8)
    world.store.set_queue(QUEUE, concurrency=concurrency, now_ms=world.now)
    world.enqueue("acme", number=100)
    world.store.pause(QUEUE, now_ms=world.now)
    assert world.take(9) == []

    world.store.resume(QUEUE, ramp_until_ms=world.now + 80_000, now_ms=world.now)

    held = world.take(9)
    assert len(held) == 1
    assert world.queue().gate == "queue_concurrency"
    for expected in (2, 4, 7):
        world.clock.advance(seconds=expected * 10 - (world.now - START_MS) / 1000)
        held += world.take(9)
        assert len(held) == expected
    world.clock.advance(seconds=10)
    held += world.take(1)
    world.clock.advance(seconds=1)
    held += world.take(9)
    assert len(held) == (8 if concurrency else 17)
    assert "ramp" not in world.keyspace()[f"qo1:gates:{QUEUE}"]
    check(world)
