"""Bells and the keeper: who is woken, when, and who is left to sleep."""

from __future__ import annotations

import pytest

from queueops.engine.rules.gates import Limits
from tests.engine.world import QUEUE, World


def test_only_a_claim_that_saw_every_ring_empty_leaves_the_bell_silent(world: World) -> None:
    world.enqueue("acme", number=3)
    assert world.bell()
    world.take(1)
    assert world.bell()
    world.take(2)
    assert not world.bell()
    world.take(1)
    assert not world.bell()


def test_a_bell_has_one_element_however_often_it_is_rung(world: World) -> None:
    for _ in range(5):
        world.enqueue("acme", number=10)

    assert world.keyspace()["qo1:bell:standard"] == ["1"]


def test_a_closed_org_does_not_ring(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=1)}, now_ms=world.now)
    world.enqueue("acme", number=3)
    job = world.one()
    world.bell()

    world.enqueue("acme")
    assert not world.bell()
    assert world.take(1) == []
    assert not world.bell()
    world.settle(job)
    assert world.bell()


@pytest.mark.parametrize("free", [0, 1, 5])
def test_settling_without_a_claim_rings_for_the_org_it_opened(world: World, free: int) -> None:
    # A worker that drains settles and claims nothing: another one must hear of the slot.
    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=2)}, now_ms=world.now)
    world.enqueue("acme", number=9)
    jobs = world.take(9)
    world.bell()

    world.settle(*jobs)

    assert world.bell()
    assert len(world.take(free) if free else []) == min(free, 2)


def test_the_keeper_is_told_the_head_of_the_timers_and_the_others_a_second(world: World) -> None:
    world.enqueue("acme", due_ms=world.now + 300)
    world.bell()

    assert [world.claim(holder=f"w{number}").wait_ms for number in range(4)] == [300, 1000, 1000, 1000]
    assert world.claim(holder="w0").wait_ms == 300, "the keeper stays the keeper"


def test_a_timer_is_waited_for_ten_ms_at_least(world: World) -> None:
    world.enqueue("acme", due_ms=world.now + 3)

    assert world.claim().wait_ms == 10


def test_a_timer_beyond_a_second_needs_no_keeper(world: World) -> None:
    world.enqueue("acme", due_ms=world.now + 5000)
    before = world.keyspace()

    assert world.claim().wait_ms == 1000
    assert world.keyspace() == before


def test_a_keeper_that_has_woken_has_kept_its_promise(world: World) -> None:
    world.enqueue("acme", due_ms=world.now + 300)
    world.enqueue("acme", due_ms=world.now + 700)
    assert world.claim(holder="w0").wait_ms == 300
    world.clock.advance(ms=301)
    assert len(world.claim(holder="w1").jobs) == 1, "whoever comes first takes the job"

    assert world.claim(holder="w2").wait_ms == 399


def test_an_earlier_timer_wakes_an_idle_worker_that_becomes_the_keeper(world: World) -> None:
    world.enqueue("acme", due_ms=world.now + 800)
    world.bell()
    assert world.claim(holder="w0").wait_ms == 800

    world.enqueue("acme", due_ms=world.now + 900)
    assert not world.bell(), "the keeper will be awake"
    world.enqueue("beta", due_ms=world.now + 200)
    assert world.bell()

    assert world.claim(holder="w1").wait_ms == 200


def test_a_busy_worker_that_closed_an_org_has_an_idle_one_wake_for_it(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(rpm=600, burst=1)}, now_ms=world.now)
    world.enqueue("acme", number=3)
    world.bell()

    assert len(world.claim(free=1, holder="busy").jobs) == 1

    assert world.bell()
    assert world.claim(holder="idle").wait_ms == 100
    assert not world.bell()


def test_a_keeper_that_gets_work_hands_the_timers_on(world: World) -> None:
    world.enqueue("acme", due_ms=world.now + 500)
    assert world.claim(holder="w0").wait_ms == 500
    world.enqueue("beta")
    world.bell()

    assert len(world.claim(holder="w0").jobs) == 1

    assert world.bell()
    assert world.claim(holder="w1").wait_ms == 500


def test_fifty_idle_workers_wake_for_a_throttled_queue_one_by_one(world: World) -> None:
    # 200 orgs reopen every few ms. Idle workers claim when told to; only the keeper is told so before a
    # second is over.
    orgs = [f"org{number}" for number in range(200)]
    limits = {org: Limits(rpm=60 + number / 50, burst=1) for number, org in enumerate(orgs)}
    world.store.set_limits(QUEUE, limits, now_ms=world.now)
    world.store.enqueue(QUEUE, [world.job(org) for org in orgs for _ in range(20)], now_ms=world.now)
    start = world.now
    wakes = {f"w{number}": start for number in range(50)}
    claims = jobs = 0
    while world.now < start + 2000:
        holder = min(wakes, key=lambda name: wakes[name])
        world.clock.now_ms = max(world.now, wakes[holder])
        claim = world.claim(free=1, holder=holder)
        claims, jobs = claims + 1, jobs + len(claim.jobs)
        for job in claim.jobs:
            world.settle(job, run_ms=1)
        wakes[holder] = world.now + (1 if claim.jobs or claim.more else claim.wait_ms)
        if world.bell():
            longest = max(wakes, key=lambda name: wakes[name])
            wakes[longest] = world.now

    assert jobs >= 390, "every org's job starts when its rate allows"
    assert claims - jobs < 550, (
        "100 of the keeper, 100 by the others each second, and one for each that was handed over"
    )


def test_an_idle_worker_of_several_queues_wakes_for_the_first_timer_of_any(world: World) -> None:
    world.enqueue("acme", queue="bulk", due_ms=world.now + 250)
    world.enqueue("acme", queue="critical", due_ms=world.now + 400)

    assert world.claim(queues=("critical", "bulk")).wait_ms == 250


def test_stale_entries_of_empty_rings_ring_nobody(world: World) -> None:
    world.enqueue("acme", resource="mail")
    world.enqueue("acme", resource="sms")
    world.store.purge(QUEUE, now_ms=world.now)
    world.bell()

    world.claim()
    assert not world.bell()
    assert "qo1:rings:standard" not in world.keyspace()
