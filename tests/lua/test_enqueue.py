"""enqueue.lua: what it writes, what it refuses, and what it leaves alone."""

from __future__ import annotations

import pytest

from queueops.errors import BrokerFull, InvalidMessage, InvalidOrg, InvalidResource
from tests.engine.world import PATIENCE_MS, QUEUE, World
from tests.support.valkey import Valkey


def test_a_ready_job_is_one_string_one_lane_member_and_one_index_entry(world: World) -> None:
    [word] = world.store.enqueue(QUEUE, [world.job("acme")], now_ms=world.now)

    assert word == "ready"
    rank = world.now + PATIENCE_MS
    assert world.keyspace() == {
        QUEUE: [""],
        "qo1:bell:standard": ["1"],
        "qo1:ids": {"id1": "standard\tt0001"},
        "qo1:job:standard:t0001": f"00\tacme\t\ttasks.work\tid1\t1000\t0\t\t0\t{world.now}\t0\nmessage 1",
        "qo1:lane:standard::acme": {"t0001": rank},
        "qo1:org:standard:acme": {"v": "0", "n": "0", "a": "1", "l": " ", "c": "", "t": "0"},
        "qo1:queue:standard": {"V": "0", "W": "1", "A": "1", "n": "0", "o": "1", "enqueued": "1"},
        "qo1:queues": {"standard"},
        "qo1:ring:standard:": {"acme": 0},
        "qo1:rings:standard": {"": 0},
    }


def test_a_job_with_a_time_waits_among_the_scheduled_ones(world: World) -> None:
    due = world.now + 60_000

    words = world.store.enqueue(QUEUE, [world.job("acme", due_ms=due)], now_ms=world.now)

    assert words == ["scheduled"]
    keys = world.keyspace()
    assert keys["qo1:scheduled:standard:acme"] == {"t0001": due}
    assert keys["qo1:timers:standard"] == {"sacme": due}
    assert keys["qo1:queue:standard"]["scheduled"] == "1"
    assert not keys.keys() & {QUEUE, "qo1:lane:standard::acme", "qo1:bell:standard", "qo1:org:standard:acme"}


def test_a_time_that_is_over_is_now(world: World) -> None:
    [job] = world.enqueue("acme", due_ms=world.now - 60_000)

    assert world.one().tag == job.tag
    assert world.keyspace()["qo1:ids"] == {job.task_id: f"standard\t{job.tag}"}


def test_the_same_tag_is_enqueued_once_also_within_one_call(world: World) -> None:
    job = world.job("acme")

    assert world.store.enqueue(QUEUE, [job, job], now_ms=world.now) == ["ready", "duplicate"]
    before = world.keyspace()
    assert world.store.enqueue(QUEUE, [job], now_ms=world.now) == ["duplicate"]
    assert world.keyspace() == before


def test_one_tag_may_go_to_two_queues(world: World) -> None:
    job = world.job("acme")

    assert world.store.enqueue("bulk", [job], now_ms=world.now) == ["ready"]
    assert world.store.enqueue(QUEUE, [job], now_ms=world.now) == ["ready"]


def test_a_publish_retried_after_a_quick_run_is_a_duplicate(world: World) -> None:
    [job] = world.enqueue("acme", tag="tag")
    world.settle(world.one())

    again = world.job("acme", tag="tag", task_id=job.task_id, repeated=True)
    for seconds in (0, 60, 119):
        world.clock.now_ms += seconds * 1000
        assert world.store.enqueue(QUEUE, [again], now_ms=world.now) == ["duplicate"]
        world.clock.now_ms -= seconds * 1000

    world.clock.advance(seconds=240)
    assert world.store.enqueue(QUEUE, [again], now_ms=world.now) == ["ready"]
    assert job.tag == again.tag


def test_a_publish_retried_after_its_job_died_and_was_replayed_is_a_duplicate(world: World) -> None:
    [job] = world.enqueue("acme")
    world.settle(world.one(), outcome="dead")
    replay = world.job("acme", task_id=job.task_id, replays=True)
    assert world.store.enqueue(QUEUE, [replay], now_ms=world.now) == ["ready"]
    again = world.job("acme", tag=job.tag, task_id=job.task_id, repeated=True)
    assert world.store.enqueue(QUEUE, [again], now_ms=world.now) == ["duplicate"]

    world.settle(world.one())

    assert world.store.enqueue(QUEUE, [again], now_ms=world.now) == ["duplicate"]


def test_a_first_publish_does_not_look_at_what_ended(world: World) -> None:
    world.enqueue("acme", tag="tag")
    world.settle(world.one())

    assert world.store.enqueue(QUEUE, [world.job("acme", tag="tag")], now_ms=world.now) == ["ready"]


def test_a_retry_ends_the_lease_it_supersedes_in_the_same_step(world: World) -> None:
    world.enqueue("acme", task_id="same")
    old = world.one()
    due = world.now + 20_000

    retry = world.job("acme", task_id="same", due_ms=due, attempt=1, supersedes=old.token)
    assert world.store.enqueue(QUEUE, [retry], now_ms=world.now) == ["scheduled"]

    keys = world.keyspace()
    assert "qo1:held:w1" not in keys
    assert f"qo1:job:standard:{old.tag}" not in keys
    assert keys["qo1:ids"] == {"same": f"standard\t{retry.tag}"}
    assert keys["qo1:queue:standard"] | {"n": "0", "retried": "1"} == keys["qo1:queue:standard"]
    assert world.settle(old, outcome="retried") == ["stale"]
    assert "qo1:totals" not in world.keyspace(), (
        "the settle of a retried delivery is expected to find nothing"
    )


def test_a_retry_of_a_lost_lease_writes_nothing(world: World) -> None:
    world.enqueue("acme", task_id="same")
    old = world.one()
    world.store.release([old.token], now_ms=world.now)
    before = world.keyspace()

    retry = world.job("acme", task_id="same", supersedes=old.token)

    assert world.store.enqueue(QUEUE, [retry], now_ms=world.now) == ["stale"]
    assert world.keyspace() == before


def test_a_retry_whose_answer_was_lost_is_published_again_as_a_duplicate(world: World) -> None:
    world.enqueue("acme", task_id="same")
    old = world.one()
    retry = world.job("acme", task_id="same", supersedes=old.token, repeated=True)

    assert world.store.enqueue(QUEUE, [retry, retry], now_ms=world.now) == ["ready", "duplicate"]
    assert world.store.enqueue(QUEUE, [retry], now_ms=world.now) == ["duplicate"]
    assert world.queue().ready == 1


def test_two_retries_of_one_lease_in_one_call_end_it_once(world: World) -> None:
    world.enqueue("acme", number=2)
    old, _other = world.take(2)
    first, second = (world.job("acme", supersedes=old.token) for _ in range(2))

    assert world.store.enqueue(QUEUE, [first, second], now_ms=world.now) == ["ready", "stale"]
    assert world.org().in_flight == 1


def test_a_retry_may_go_to_another_queue(world: World) -> None:
    world.enqueue("acme")
    old = world.one()

    retry = world.job("acme", supersedes=old.token)
    assert world.store.enqueue("bulk", [retry], now_ms=world.now) == ["ready"]

    assert world.queue(QUEUE).leased == 0
    assert world.queue(QUEUE).totals["retried"] == 1
    assert world.queue("bulk").ready == 1


def test_many_jobs_are_enqueued_in_steps(world: World) -> None:
    jobs = [world.job(f"org{number % 7}") for number in range(1203)]

    assert world.store.enqueue(QUEUE, jobs, now_ms=world.now) == ["ready"] * 1203
    assert world.queue().ready == 1203
    assert world.queue().orgs_waiting == 7


@pytest.mark.parametrize("org", ["", "a:b", "a b", "a\tb", "x" * 129, "é"])
def test_a_name_that_can_not_stand_in_a_key_is_refused(world: World, org: str) -> None:
    with pytest.raises(InvalidOrg):
        world.store.enqueue(QUEUE, [world.job(org)], now_ms=world.now)
    if org:
        with pytest.raises(InvalidResource):
            world.store.enqueue(QUEUE, [world.job("acme", resource=org)], now_ms=world.now)
    assert world.keyspace() == {}


@pytest.mark.parametrize(
    "fields",
    [{"task": "a\tb"}, {"task_id": "a\nb"}, {"task": "ä" * 200}, {"task_id": "x" * 256}, {"tag": "\x00"}],
)
def test_a_name_that_can_not_stand_in_the_head_is_refused(world: World, fields: dict[str, str]) -> None:
    with pytest.raises(InvalidMessage):
        world.store.enqueue(QUEUE, [world.job("acme", **fields)], now_ms=world.now)
    assert world.keyspace() == {}


def test_the_longest_names_survive_a_wait(world: World) -> None:
    fields = {"task": "ä" * 127, "task_id": "x" * 255, "resource": "r" * 128, "deadline_ms": 10**13}
    [job] = world.enqueue("o" * 128, due_ms=world.now + 1, **fields)
    world.clock.advance(ms=1)

    leased = world.one()

    assert (leased.org, leased.resource, leased.task, leased.task_id) == (
        job.org,
        job.resource,
        job.task,
        job.task_id,
    )


def test_a_full_server_refuses_and_nothing_was_written(world: World, shared_valkey: Valkey) -> None:
    world.enqueue("acme")
    before = world.keyspace()
    shared_valkey.fill()
    try:
        with pytest.raises(BrokerFull):
            world.enqueue("acme", number=3)
    finally:
        shared_valkey.limit_memory(0)
    assert world.keyspace() == before
