"""settle.lua: the end of a lease, whatever its outcome."""

from __future__ import annotations

import math

import pytest

from queueops.engine.types import Settlement
from tests.engine.world import QUEUE, World

IDLE_MS = 600_000


def test_the_end_of_the_last_job_leaves_counters_and_what_expires(world: World) -> None:
    world.enqueue("acme")
    job = world.one()

    assert world.settle(job, run_ms=40.5) == ["settled"]

    keys = world.keyspace()
    assert keys.pop("qo1:queue:standard") == {
        "V": "40.5",
        "W": "0",
        "A": "0",
        "n": "0",
        "o": "0",
        "enqueued": "1",
        "claimed": "1",
        "succeeded": "1",
        "run_ms": "41",
    }
    assert keys.pop("qo1:org:standard:acme") == {"v": "40.5", "n": "0", "a": "0", "l": "", "c": "", "t": "0"}
    assert keys.pop(f"qo1:ended:{world.now // 60_000}") == {"id1": "standard\tt0001"}
    assert keys.pop("qo1:means") == {"tasks.work": "40.5"}
    assert keys.pop("qo1:queues") == {QUEUE}
    assert keys.pop("qo1:bell:standard") == ["1"]
    [line] = keys.pop("qo1:settled:standard")
    assert line.split("\t")[:8] == [
        str(world.now),
        "succeeded",
        "40.500",
        "0",
        "acme",
        "",
        "tasks.work",
        "id1",
    ]
    assert keys == {"qo1:holders": {"w1": world.now + 30_000}}, (
        "the process itself is struck off when it lapses"
    )
    assert 0 < world.client.pttl(world.store.key("org", queue=QUEUE, org="acme")) <= IDLE_MS


def test_a_stale_token_changes_nothing_and_is_counted(world: World) -> None:
    world.enqueue("acme", number=2)
    job = world.one()
    world.settle(job)
    before = world.keyspace()

    assert world.settle(job) == ["stale"]
    assert world.settle(job, outcome="dead", detail={"reason": "failed"}) == ["stale"]

    after = world.keyspace()
    assert after.pop("qo1:totals") == {"stale": "2"}
    assert after == before


def test_the_same_token_twice_in_one_call_is_settled_once(world: World) -> None:
    world.enqueue("acme")
    job = world.one()

    assert world.settle(job, job) == ["settled", "stale"]
    assert world.queue().totals["succeeded"] == 1


@pytest.mark.parametrize("token", ["", "nobody/1/1", "no token at all", "/"])
def test_a_token_of_nobody_is_stale(world: World, token: str) -> None:
    assert world.store.settle([Settlement(token, "succeeded", 1)], now_ms=world.now) == ["stale"]


def test_tokens_of_several_processes_and_queues_are_settled_in_one_call(world: World) -> None:
    world.enqueue("acme", number=2)
    world.enqueue("beta", queue="bulk")
    jobs = [world.one("w1"), world.one("w2"), world.one("w3", queues=("bulk",))]

    assert world.settle(*jobs) == ["settled"] * 3
    assert (world.queue().leased, world.queue("bulk").leased) == (0, 0)


def test_a_dead_job_moves_whole_to_the_dead_stream(world: World) -> None:
    [job] = world.enqueue("acme", resource="mail", message='{"body": "ü"}', attempt=3)
    leased = world.one()

    detail = {"reason": "failed", "error": "ValueError", "message": "no", "attempts": [{"n": 1}]}
    assert world.settle(leased, outcome="dead", detail=detail) == ["settled"]

    [letter] = world.store.dead_read()
    assert (letter.token, letter.queue, letter.tag, letter.message) == (
        leased.token,
        QUEUE,
        job.tag,
        job.message,
    )
    assert (letter.org, letter.resource, letter.task, letter.task_id) == (
        "acme",
        "mail",
        job.task,
        job.task_id,
    )
    assert (letter.first_ms, letter.attempt, letter.deliveries) == (job.first_ms, 3, 1)
    assert (letter.died_ms, letter.detail) == (world.now, detail)
    assert world.queue().totals["dead"] == 1
    assert f"qo1:job:standard:{job.tag}" not in world.keyspace()
    assert world.store.dead_trim([letter.id]) == 1
    assert world.store.dead_size() == 0


@pytest.mark.parametrize("outcome", ["succeeded", "cancelled", "retried"])
def test_an_outcome_is_counted_under_its_name(world: World, outcome: str) -> None:
    world.enqueue("acme")

    world.settle(world.one(), outcome=outcome)  # type: ignore[arg-type]

    totals = world.queue().totals
    assert {name: totals[name] for name in ("succeeded", "cancelled", "retried", "dead")} == {
        "succeeded": 0,
        "cancelled": 0,
        "retried": 0,
        "dead": 0,
        outcome: 1,
    }


def test_a_message_published_since_keeps_its_entry_in_the_index(world: World) -> None:
    world.enqueue("acme", task_id="same")
    old = world.one()
    [new] = world.enqueue("acme", task_id="same")

    world.settle(old)

    assert world.keyspace()["qo1:ids"] == {"same": f"standard\t{new.tag}"}


def test_the_mean_of_a_task_follows_its_runs(world: World) -> None:
    world.enqueue("acme", number=3)
    first, second, third = world.take(3)

    world.settle(first, run_ms=1000)
    world.settle(second, third, run_ms=2000)

    assert float(world.keyspace()["qo1:means"]["tasks.work"]) == pytest.approx(1100)


@pytest.mark.parametrize("run_ms", [math.nan, math.inf, -5.0, 1e300])
def test_a_run_time_that_can_not_be_true_counts_as_none(world: World, run_ms: float) -> None:
    world.enqueue("acme", number=2)
    world.settle(world.one(), run_ms=run_ms)

    assert world.queue().virtual_time_ms == 0
    world.settle(world.one(), run_ms=10)
    assert world.queue().virtual_time_ms == 10


def test_settling_the_last_slot_of_a_full_queue_rings(world: World) -> None:
    world.store.set_queue(QUEUE, concurrency=2, now_ms=world.now)
    world.enqueue("acme", number=4)
    jobs = world.take(4)
    assert len(jobs) == 2
    world.bell()
    assert world.take(1) == []
    assert not world.bell()

    world.settle(jobs[0])

    assert world.bell()
    assert len(world.take(4)) == 1
