"""A server over maxmemory can still be drained; new work fails clean."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from queueops.errors import BrokerFull
from tests.engine.invariants import check
from tests.engine.world import QUEUE, World
from tests.support.valkey import Valkey


@pytest.fixture
def full(world: World, shared_valkey: Valkey) -> Iterator[World]:
    """A world with work waiting, running and scheduled, on a server that is full."""
    world.beat()
    world.beat_for(31)
    world.register("w1")
    world.enqueue("acme", number=8)
    world.enqueue("acme", number=3, due_ms=world.now + 10)
    world.enqueue("acme", number=2, resource="mail")
    world.held = world.take(5)  # type: ignore[attr-defined]
    shared_valkey.fill()
    yield world
    shared_valkey.limit_memory(0)


def test_work_is_claimed_renewed_and_settled(full: World) -> None:
    held = full.held  # type: ignore[attr-defined]

    assert full.renew("w1", {job.token: 5000 for job in held}) == []
    full.register("w1")
    assert full.settle(*held[:2]) == ["settled"] * 2
    assert full.settle(held[2], outcome="dead", detail={"reason": "failed"}) == ["settled"]
    assert full.store.release([held[3].token], now_ms=full.now) == ["released"]
    full.clock.advance(ms=10)
    taken = full.take(20)
    assert full.settle(*taken) == ["settled"] * 9
    assert full.queue().ready == 0


def test_leases_are_reaped_and_the_rest_is_purged(full: World) -> None:
    assert full.beat_for(31) == 5
    assert full.store.purge(QUEUE, now_ms=full.now) == 13
    assert full.store.leave("w1", now_ms=full.now) == 0


def test_gates_can_be_worked(full: World) -> None:
    full.store.pause(QUEUE, now_ms=full.now)
    assert full.store.resume(QUEUE, now_ms=full.now)
    assert full.store.set_queue(QUEUE, concurrency=5, now_ms=full.now)
    full.queue()


def test_new_work_is_refused_before_anything_was_written(full: World) -> None:
    before = full.keyspace()

    with pytest.raises(BrokerFull):
        full.enqueue("acme", number=3)
    with pytest.raises(BrokerFull):
        full.enqueue("fresh", due_ms=full.now + 1000)

    assert full.keyspace() == before


def test_a_retry_replaces_its_delivery_also_on_a_full_server(full: World) -> None:
    [job, *_] = full.held  # type: ignore[attr-defined]

    retry = full.job("acme", supersedes=job.token)

    assert full.store.enqueue(QUEUE, [retry], now_ms=full.now) == ["ready"]


def test_jobs_with_options_are_refused_before_anything_was_written(full: World) -> None:
    [parent, *_] = full.held  # type: ignore[attr-defined]
    before = full.keyspace()

    for fields in ({"after": (parent.task_id,)}, {"unique": "key"}, {"keep_ms": 1000}):
        with pytest.raises(BrokerFull):
            full.enqueue("acme", **fields)

    assert full.keyspace() == before


def test_jobs_are_cancelled_held_and_released(full: World) -> None:
    [leased, *_] = full.held  # type: ignore[attr-defined]
    waiting = full.keyspace()["qo1:ids"].keys() - {job.task_id for job in full.held}  # type: ignore[attr-defined]
    first, second, *_ = sorted(waiting)

    assert full.store.cancel(leased.task_id, now_ms=full.now) == "cancelling"
    assert full.store.cancel(first, now_ms=full.now) == "cancelled"
    assert full.store.hold(second, now_ms=full.now) == "held"
    assert full.store.release_job(second, now_ms=full.now) == "released"
    check(full)
