"""release.lua: jobs go back, alone or with the process that held them."""

from __future__ import annotations

import pytest

from queueops.engine.rules.gates import Limits
from tests.engine.world import QUEUE, World


def test_a_released_job_is_as_if_it_had_never_been_claimed(world: World) -> None:
    world.enqueue("acme", number=2)
    before = world.keyspace()
    job = world.one()

    assert world.store.release([job.token], now_ms=world.now) == ["released"]

    after = world.keyspace()
    assert after.pop("qo1:holders") == {"w1": world.now + 30_000}
    for keys in (before, after):
        keys["qo1:queue:standard"].pop("claimed", None)
    assert after == before


def test_a_released_job_keeps_its_rank(world: World) -> None:
    [old] = world.enqueue("acme")
    job = world.one()
    world.clock.advance(seconds=10)
    world.enqueue("acme")

    world.store.release([job.token], now_ms=world.now)

    assert world.one().tag == old.tag


def test_a_delayed_release_waits_like_a_back_off(world: World) -> None:
    world.enqueue("acme")
    job = world.one()

    world.store.release([job.token], delay_ms=5000, now_ms=world.now)

    assert world.take(1) == []
    world.clock.advance(seconds=5)
    assert world.one().tag == job.tag


def test_a_release_rings(world: World) -> None:
    world.enqueue("acme")
    job = world.one()
    world.bell()

    world.store.release([job.token], now_ms=world.now)

    assert world.bell()


def test_a_lost_delivery_counts_and_the_last_one_is_the_death(world: World) -> None:
    world.store.set_queue(QUEUE, delivery_limit=3, now_ms=world.now)
    world.enqueue("acme")
    detail = {"reason": "worker_lost"}
    for delivery in (1, 2):
        job = world.one()
        assert job.deliveries == delivery
        assert world.store.release([job.token], lost=True, detail=detail, now_ms=world.now) == ["released"]
    job = world.one()

    assert world.store.release([job.token], lost=True, detail=detail, now_ms=world.now) == ["dead"]

    [letter] = world.store.dead_read()
    assert (letter.deliveries, letter.detail, letter.token) == (3, detail, job.token)
    assert world.queue().totals["lost"] == 3
    assert world.org().in_flight == 0


def test_a_job_that_must_not_run_twice_dies_when_it_is_lost(world: World) -> None:
    world.enqueue("acme", once=True)
    job = world.one()
    assert job.once

    assert world.store.release(
        [job.token], lost=True, detail={"reason": "worker_lost"}, now_ms=world.now
    ) == ["dead"]
    assert world.store.dead_read()[0].deliveries == 1


def test_a_job_that_must_not_run_twice_may_be_given_back_before_it_started(world: World) -> None:
    world.enqueue("acme", once=True)

    assert world.store.release([world.one().token], now_ms=world.now) == ["released"]
    assert world.one().deliveries == 1


def test_releasing_twice_or_after_the_end_is_stale(world: World) -> None:
    world.enqueue("acme", number=2)
    first, second = world.take(2)
    world.settle(second)

    assert world.store.release([first.token, first.token, second.token], now_ms=world.now) == [
        "released",
        "stale",
        "stale",
    ]
    assert world.queue().ready == 1


def test_a_job_whose_text_is_gone_frees_its_slot(world: World) -> None:
    world.enqueue("acme")
    job = world.one()
    world.client.delete(world.store.key("job", queue=QUEUE, tag=job.tag))

    assert world.store.release([job.token], now_ms=world.now) == ["gone"]
    assert world.org().in_flight == 0


def test_a_rates_token_is_not_given_back(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(rpm=60, burst=1)}, now_ms=world.now)
    world.enqueue("acme")

    world.store.release([world.one().token], now_ms=world.now)

    assert world.take(1) == []
    assert world.org().gate == "org_rate"


def test_a_slot_is_given_back_and_opens_what_it_closed(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=1)}, now_ms=world.now)
    world.enqueue("acme", number=2)
    job = world.one()
    assert world.take(1) == []

    world.store.release([job.token], now_ms=world.now)

    assert world.one().tag == job.tag


@pytest.mark.parametrize("number", [3, 1100])
def test_a_process_that_leaves_gives_back_all_it_holds(world: World, number: int) -> None:
    world.enqueue("acme", number=number)
    assert len(world.take(number)) == number

    assert world.store.leave("w1", now_ms=world.now) == number

    keys = world.keyspace()
    assert not keys.keys() & {"qo1:held:w1", "qo1:holders", "qo1:workers"}
    assert world.queue().ready == number
    assert world.store.leave("w1", now_ms=world.now) == 0
