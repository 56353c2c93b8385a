"""Unique keys: a second publish is answered by the job that holds the key."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import redis

from queueops.engine.store import Store
from queueops.errors import InvalidMessage
from tests.engine.invariants import check
from tests.engine.world import QUEUE, World
from tests.support.valkey import Valkey


def publish(world: World, queue: str = QUEUE, **fields: Any) -> str:
    """Enqueue one job with the key ``once``; returns the word."""
    job = world.job(**{"unique": "once", **fields})
    [word] = world.store.enqueue(queue, [job], now_ms=world.now)
    check(world)
    return word


def keys_held(world: World) -> list[str]:
    return [key for key in world.keyspace() if key.startswith(("qo1:unique", "qo1:marks"))]


def test_a_second_job_is_answered_by_the_first_until_it_has_ended(world: World) -> None:
    assert publish(world, task_id="first") == "ready"
    before = world.keyspace()

    assert publish(world, task_id="second", queue="bulk", org="beta") == "existing first"
    after = world.keyspace()
    assert after.pop("qo1:existing") == {"tasks.work": "1"}
    assert after.pop("qo1:queue:bulk") == {"existing": "1"}
    assert after == before
    leased = world.one()
    assert publish(world) == "existing first"
    world.settle(leased)

    assert keys_held(world) == []
    assert publish(world, task_id="third") == "ready"


@pytest.mark.parametrize("fields", [{"due_in": 5000}, {"after": ("parent",)}])
def test_a_job_that_waits_for_its_time_or_for_others_holds_its_key(world: World, fields: Any) -> None:
    world.enqueue(task_id="parent", queue="bulk")
    due_in = fields.pop("due_in", 0)
    publish(world, task_id="first", due_ms=due_in and world.now + due_in, **fields)

    assert publish(world) == "existing first"


def test_another_key_is_another_job(world: World) -> None:
    assert publish(world) == "ready"
    assert publish(world, unique="another") == "ready"


def test_within_one_step_the_first_holds_the_key(world: World) -> None:
    jobs = [world.job(task_id=f"job{n}", unique="once") for n in range(3)]
    jobs.append(world.job(task_id="child", after=("job2",)))

    words = world.store.enqueue(QUEUE, jobs, now_ms=world.now)

    assert words == ["ready", "existing job0", "existing job0", "blocked"]
    check(world)
    assert world.store.waiting_for(["job0", "job2"]) == {"job0": 1}, (
        "what waits for the job that was not needed waits for the other"
    )


def test_a_publish_retry_is_a_duplicate_not_an_existing_job(world: World) -> None:
    fields: dict[str, Any] = {"tag": "tag", "task_id": "same", "repeated": True}
    assert publish(world, **fields) == "ready"
    assert publish(world, **fields) == "duplicate"
    leased = world.one()
    assert publish(world, **fields) == "duplicate"
    world.settle(leased)
    assert publish(world, **fields) == "duplicate"
    assert publish(world, **{**fields, "unique_ms": 5000}) == "duplicate"


def test_a_retry_keeps_the_key_and_is_not_refused_by_it(world: World) -> None:
    publish(world, task_id="same")
    retry = {"task_id": "same", "supersedes": world.one().token, "due_ms": world.now + 100}

    assert publish(world, **retry) == "scheduled"
    assert publish(world) == "existing same"
    world.clock.advance(seconds=1)
    world.settle(world.one())
    assert keys_held(world) == []


def test_a_key_with_a_time_of_its_own_outlives_its_job(world: World) -> None:
    publish(world, task_id="first", unique_ms=60_000)
    assert 0 < world.client.pttl(world.store.key("unique", digest="once")) <= 60_000
    world.settle(world.one())
    world.clock.advance(seconds=59)
    assert publish(world) == "existing first"
    world.clock.advance(seconds=1)

    assert publish(world, task_id="second", unique_ms=60_000) == "ready"
    world.clock.advance(seconds=61)
    assert publish(world, task_id="third") == "ready", "its time is over though its job still waits"
    world.store.cancel("second", now_ms=world.now)
    assert publish(world) == "existing third", "whoever lost the key does not take it from the next"


@pytest.mark.parametrize("unique_ms", [0, 60_000])
@pytest.mark.parametrize("end", ["dead", "cancel", "purge", "lost"])
def test_whoever_did_not_succeed_gives_the_key_up(world: World, unique_ms: int, end: str) -> None:
    publish(world, task_id="first", unique_ms=unique_ms, once=True)
    if end == "cancel":
        world.store.cancel("first", now_ms=world.now)
    elif end == "purge":
        world.store.purge(QUEUE, now_ms=world.now)
    elif end == "dead":
        world.settle(world.one(), outcome="dead")
    else:
        assert world.store.release([world.one().token], lost=True, now_ms=world.now) == ["dead"]

    check(world)
    assert keys_held(world) == []
    assert publish(world) == "ready"


def test_a_replay_takes_the_key_again_or_says_who_holds_it(world: World) -> None:
    publish(world, task_id="first")
    world.settle(world.one(), outcome="dead")

    assert publish(world, task_id="first", replays=True, repeated=True) == "ready"
    assert publish(world) == "existing first"
    world.settle(world.one(), outcome="dead")
    assert publish(world, task_id="second") == "ready"
    assert publish(world, task_id="first", replays=True, repeated=True) == "existing second"
    assert "first" in world.keyspace()["qo1:graves"], "it is still dead"


def test_a_job_deleted_by_hand_does_not_hold_its_key_for_ever(world: World) -> None:
    publish(world, task_id="first")
    world.client.hdel(world.store.key("ids"), "first")

    job = world.job(unique="once")
    assert world.store.enqueue(QUEUE, [job], now_ms=world.now) == ["ready"]


@pytest.mark.parametrize("unique", ["x" * 65, "a\tb", "a\nb"])
def test_a_digest_that_can_not_stand_in_a_key_is_refused(world: World, unique: str) -> None:
    with pytest.raises(InvalidMessage):
        world.store.enqueue(QUEUE, [world.job(unique=unique)], now_ms=world.now)
    assert world.keyspace() == {}


def test_of_many_publishers_at_once_one_is_let_in(world: World, shared_valkey: Valkey) -> None:
    words: list[str] = []
    start = threading.Barrier(8)
    jobs = [[world.job(unique=f"key{n}", task_id=f"job{p}-{n}") for n in range(50)] for p in range(8)]

    def run(mine: list[Any]) -> None:
        client = redis.Redis(port=shared_valkey.port)
        store = Store(client, prefix=world.store.prefix)
        start.wait()
        for job in mine:
            words.extend(store.enqueue(QUEUE, [job], now_ms=world.now))
        client.close()

    threads = [threading.Thread(target=run, args=(mine,)) for mine in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert words.count("ready") == 50
    assert sum(word.startswith("existing") for word in words) == 350
    check(world)
    assert world.queue().ready == 50
