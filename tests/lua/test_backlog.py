"""Backpressure: a first enqueue that would make too many jobs ready is refused as a whole."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis

from queueops.engine.store import Store
from queueops.errors import LimitInvalid, QueueFull
from tests.engine.world import QUEUE, World
from tests.support.valkey import Valkey


def limit(world: World, **limits: Any) -> None:
    world.store.set_queue(QUEUE, exempt_org="default", now_ms=world.now, **limits)


def put(world: World, number: int = 1, org: str = "acme", **fields: Any) -> list[str]:
    jobs = [world.job(org, **fields) for _ in range(number)]
    return world.store.enqueue(QUEUE, jobs, now_ms=world.now)


def test_a_step_is_let_in_as_a_whole_or_not_at_all(world: World) -> None:
    limit(world, max_ready=5)
    assert put(world, 3) == ["ready"] * 3
    before = world.keyspace()

    with pytest.raises(QueueFull, match="has 3 ready jobs, the limit is 5") as raised:
        put(world, 3)

    error = raised.value
    assert (error.queue, error.depth, error.limit, error.org) == (QUEUE, 3, 5, "")
    assert world.keyspace() == before
    assert put(world, 2) == ["ready"] * 2


def test_a_call_in_steps_says_what_it_had_enqueued(world: World) -> None:
    limit(world, max_ready=700)

    with pytest.raises(QueueFull) as raised:
        put(world, 1000)

    assert len(raised.value.enqueued) == world.queue().ready == 500


def test_an_org_is_limited_by_itself_over_all_its_lanes(world: World) -> None:
    limit(world, max_ready_per_org=3)
    put(world, 2)
    put(world, 1, resource="mail")

    with pytest.raises(QueueFull, match=r"3 ready jobs of org 'acme'.*max_ready_per_org") as raised:
        put(world, 1, resource="sms")
    assert raised.value.org == "acme"
    assert put(world, 3, org="beta") == ["ready"] * 3
    assert put(world, 9, org="default") == ["ready"] * 9, "the default org is exempt"


def test_a_claim_makes_room(world: World) -> None:
    limit(world, max_ready=1)
    put(world)
    world.one()

    assert put(world) == ["ready"]


def test_what_was_let_in_once_always_comes_back(world: World) -> None:
    limit(world, max_ready=1)
    [first] = world.enqueue(task_id="first")
    old = world.one()
    put(world)

    retry = world.job(task_id="first", supersedes=old.token)
    assert world.store.enqueue(QUEUE, [retry], now_ms=world.now) == ["ready"]
    assert put(world, replays=True, repeated=True) == ["ready"]
    leased = world.one()
    assert world.store.release([leased.token], now_ms=world.now) == ["released"]
    assert world.queue().ready == 3
    assert first.tag


def test_what_does_not_become_ready_does_not_count(world: World) -> None:
    limit(world, max_ready=1)
    [parent] = world.enqueue(due_ms=world.now + 1000)
    put(world)

    assert put(world, 3, due_ms=world.now + 1000) == ["scheduled"] * 3
    assert put(world, 3, after=(parent.task_id,)) == ["blocked"] * 3
    world.clock.advance(seconds=2)
    assert len(world.take(9)) == 5, "due now, and over the limit: they were let in before"


def test_a_publish_retry_and_an_existing_job_are_not_refused(world: World) -> None:
    limit(world, max_ready=1)
    [job] = world.enqueue(task_id="first", unique="once")

    again = world.job(tag=job.tag, task_id="first", repeated=True)
    assert world.store.enqueue(QUEUE, [again], now_ms=world.now) == ["duplicate"]
    assert put(world, unique="once") == ["existing first"]


def test_no_limit_is_no_limit(world: World) -> None:
    limit(world, max_ready=0)
    with pytest.raises(QueueFull):
        put(world)
    limit(world)

    assert put(world, 600) == ["ready"] * 600


def test_a_limit_below_nothing_is_refused(world: World) -> None:
    with pytest.raises(LimitInvalid, match="max_ready must be at least 0"):
        limit(world, max_ready=-1)


@pytest.mark.parametrize(("limits", "orgs"), [({"max_ready": 100}, 1), ({"max_ready_per_org": 25}, 4)])
def test_eight_publishers_never_get_one_more_in(
    world: World, shared_valkey: Valkey, limits: dict[str, int], orgs: int
) -> None:
    limit(world, **limits)
    start, full = threading.Barrier(8), []
    jobs = [[world.job(f"org{n % orgs}") for n in range(100)] for _ in range(8)]

    def run(mine: list[Any]) -> None:
        client = redis.Redis(port=shared_valkey.port)
        store = Store(client, prefix=world.store.prefix)
        start.wait()
        for job in mine:
            try:
                store.enqueue(QUEUE, [job], now_ms=world.now)
            except QueueFull as error:
                full.append(error.depth)
        client.close()

    threads = [threading.Thread(target=run, args=(mine,)) for mine in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert world.queue().ready == 100
    assert len(full) == 700
    assert set(full) == {100 // orgs}
