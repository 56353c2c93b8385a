"""Rates: never above burst + rate x t in any window, and used up when there is work."""

from __future__ import annotations

import random

import pytest

from queueops.engine.rules.gates import Limits
from tests.engine.simulation import Simulation
from tests.engine.world import QUEUE, World


def violations(stamps: list[int], rpm: float, burst: int) -> int:
    """Windows with more claims than burst + rate x t."""
    return sum(
        later - earlier + 1 > burst + rpm / 60_000 * (stamps[later] - stamps[earlier]) + 1e-9
        for earlier in range(len(stamps))
        for later in range(earlier, len(stamps))
    )


@pytest.mark.parametrize(("rpm", "burst"), [(600, 20), (700, 1), (1234.5, 3), (60, 60)])
def test_a_rate_is_never_exceeded_and_is_used_up(world: World, rpm: float, burst: int) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(rpm=rpm, burst=burst)}, now_ms=world.now)
    world.enqueue("acme", number=1500)
    start = world.now
    simulation = Simulation(world, lambda job: random.Random(job.tag).uniform(1, 40), slots=8)

    simulation.run(until_ms=start + 30_000)

    stamps = [job.claimed_ms for job in simulation.claims]
    assert violations(stamps, rpm, burst) == 0
    # With a burst of one nothing makes up for the ms by which each job starts late.
    least = 0.99 if burst > 1 else 0.97
    assert len(stamps) >= least * (burst + rpm / 60_000 * 29_999) - 1


def test_a_busy_rate_beside_an_open_org_is_used_up_too(world: World) -> None:
    world.store.set_limits(QUEUE, {"rated": Limits(rpm=600, burst=20)}, now_ms=world.now)
    world.enqueue("rated", number=500)
    world.enqueue("open", number=6000)
    start = world.now
    simulation = Simulation(world, lambda job: random.Random(job.tag).uniform(20, 60), slots=8)

    simulation.run(until_ms=start + 30_000)

    stamps = [job.claimed_ms for job in simulation.claims if job.org == "rated"]
    assert violations(stamps, 600, 20) == 0
    assert len(stamps) >= 0.99 * 320


def test_rates_are_counted_apart_by_org_and_queue(world: World) -> None:
    for queue in ("critical", "bulk"):
        world.store.set_limits(queue, {"": Limits(rpm=60, burst=2)}, now_ms=world.now)
        for org in ("a", "b"):
            world.enqueue(org, number=5, queue=queue)

    jobs = world.take(20, queues=("critical", "bulk"))

    assert sorted((job.queue, job.org) for job in jobs) == sorted(
        [("critical", "a"), ("critical", "b"), ("bulk", "a"), ("bulk", "b")] * 2
    )


def test_a_clock_that_steps_back_costs_a_rate_its_burst_and_no_more(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(rpm=60, burst=3)}, now_ms=world.now)
    world.enqueue("acme", number=20)
    assert len(world.take(20)) == 3
    world.beat()
    world.clock.advance(seconds=-3600)
    world.beat()
    world.take(20)

    world.beat_for(3)

    assert len(world.take(20)) == 3


def test_a_raised_rate_counts_from_the_moment_it_is_raised(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(rpm=0.01, burst=1)}, now_ms=world.now)
    world.enqueue("acme", number=20)
    assert len(world.take(20)) == 1
    world.clock.advance(seconds=1)
    assert world.take(20) == []

    world.store.set_limits(QUEUE, {"acme": Limits(rpm=6000, burst=10)}, now_ms=world.now)
    assert world.take(20) == [], "the burst counts as used up"
    world.clock.advance(ms=100)

    assert len(world.take(20)) == 10


def test_a_rate_outlives_an_idle_org(world: World) -> None:
    # 1 job in 100 minutes: leaving the keyspace and coming back must not pay.
    world.store.set_limits(QUEUE, {"acme": Limits(rpm=0.01, burst=1)}, now_ms=world.now)
    world.enqueue("acme")
    world.settle(world.one())

    ttl_ms = world.client.pttl(world.store.key("org", queue=QUEUE, org="acme"))

    assert ttl_ms > 99 * 60_000
