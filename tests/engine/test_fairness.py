"""Fairness, driven by virtual time on the real engine: who gets how much, and who never waits for whom."""

from __future__ import annotations

import random

import pytest

from queueops.engine.rules.gates import Limits
from queueops.engine.types import Leased
from tests.engine.simulation import Simulation
from tests.engine.world import QUEUE, World

WEIGHTS = {"a": 1, "b": 2, "c": 5}


def constant(run_ms: float) -> object:
    """Every job runs so long."""
    return lambda job: run_ms


def between_50_and_150(job: Leased) -> float:
    """Lengths that keep the slots out of step, the same in every run."""
    return random.Random(job.tag).uniform(50, 150)


@pytest.mark.parametrize(("slots", "workers"), [(8, 1), (2, 10)])
def test_weights_share_a_backlogged_queue(world: World, slots: int, workers: int) -> None:
    world.store.set_limits(QUEUE, {org: Limits(weight=w) for org, w in WEIGHTS.items()}, now_ms=world.now)
    for org in WEIGHTS:
        world.enqueue(org, number=2500)
    simulation = Simulation(world, between_50_and_150, slots=slots, workers=workers)

    simulation.run(claims=2400)

    for org, weight in WEIGHTS.items():
        assert simulation.share(org) == pytest.approx(weight / 8, abs=0.01)
        assert simulation.time_share(org) == pytest.approx(weight / 8, abs=0.02)


def test_worker_time_is_shared_though_one_orgs_jobs_are_ten_times_longer(world: World) -> None:
    # One task with one mean for both: each claim is charged wrong, and each settle corrects it.
    for org in ("long", "short"):
        world.enqueue(org, number=4000)
    simulation = Simulation(world, lambda job: 1000 if job.org == "long" else 100, slots=8)

    simulation.run(until_ms=world.now + 60_000)

    assert simulation.time_share("long") == pytest.approx(0.5, abs=0.02)


def test_fair_by_count_shares_jobs_whatever_their_length(world: World) -> None:
    world.store.set_queue(QUEUE, fair_by="count", now_ms=world.now)
    for org in ("long", "short"):
        world.enqueue(org, number=1000)
    simulation = Simulation(world, lambda job: 1000 if job.org == "long" else 100, slots=8)

    simulation.run(claims=600)

    assert simulation.share("long") == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("gate", ["pause", "cap", "rate"])
def test_an_org_that_was_closed_for_long_gets_no_run_of_claims(world: World, gate: str) -> None:
    for org in ("held", "other"):
        world.enqueue(org, number=3000)
    simulation = Simulation(world, between_50_and_150)
    simulation.run(claims=50)
    closing = {"cap": Limits(max_in_flight=0), "rate": Limits(rpm=0.001)}
    if gate == "pause":
        world.store.pause(QUEUE, "held", now_ms=world.now)
    else:
        world.store.set_limits(QUEUE, {"held": closing[gate]}, now_ms=world.now)
    simulation.run(until_ms=world.now + 10_000)
    assert simulation.claims[-1].org == "other"

    if gate == "pause":
        world.store.resume(QUEUE, "held", now_ms=world.now)
    else:
        world.store.set_limits(QUEUE, {"held": None}, now_ms=world.now)
    seen = len(simulation.claims)
    simulation.run(claims=seen + 200)

    assert simulation.share("held", seen) == pytest.approx(0.5, abs=0.03)
    assert simulation.share("held", seen + 180) == pytest.approx(0.5, abs=0.15)


def test_an_org_that_was_idle_saved_nothing_up(world: World) -> None:
    for org in ("idle", "busy"):
        world.enqueue(org, number=1)
    world.enqueue("busy", number=2000)
    simulation = Simulation(world, between_50_and_150)
    simulation.run(until_ms=world.now + 15_000)
    world.client.delete(world.store.key("org", queue=QUEUE, org="idle"))  # its state has expired meanwhile
    world.enqueue("idle", number=500)
    seen = len(simulation.claims)

    simulation.run(claims=seen + 100)

    # The busy one held all slots when it came, so it takes these first: no more than that.
    assert simulation.share("idle", seen) == pytest.approx(0.5 + 4 / 100, abs=0.04)


def test_a_stream_of_new_orgs_does_not_hold_back_an_old_one(world: World) -> None:
    # Each new org comes with one job. Twelve are active at any time: the old one, four that wait, seven
    # that run.
    world.enqueue("old", number=1000)
    numbers = iter(range(100_000))

    def arrive() -> None:
        while world.queue().orgs_waiting < 5:
            world.enqueue(f"new{next(numbers)}")

    simulation = Simulation(world, between_50_and_150, arrive=arrive)
    simulation.run(claims=400)

    assert simulation.share("old", 50) == pytest.approx(1 / 12, abs=0.015)


def test_an_hour_on_idle_slots_is_not_paid_for_later(world: World) -> None:
    # Nobody else wanted the slots; when a storm comes, the org's next job must not wait behind it.
    world.enqueue("long", task="tasks.long")
    simulation = Simulation(
        world, lambda job: 3_600_000 if job.task == "tasks.long" else between_50_and_150(job)
    )
    simulation.run(until_ms=world.now + 3_600_001)
    assert simulation.worked_ms["long"] == 3_600_000
    world.enqueue("storm", number=2000)
    simulation.run(until_ms=world.now + 1000)

    world.enqueue("long", task="tasks.short")
    start, seen = world.now, len(simulation.claims)
    simulation.run(until_ms=world.now + 3000)

    [job] = [job for job in simulation.claims[seen:] if job.org == "long"]
    assert job.claimed_ms - start < 500


def test_an_hour_that_everybody_expected_is_not_paid_for_later(world: World) -> None:
    # The mean is known, so the hour is charged at the claim: V must move while it runs, not only at its end.
    world.store.client.hset(world.store.key("means"), "tasks.long", 3_600_000)
    world.enqueue("long", number=8, task="tasks.long")
    simulation = Simulation(
        world, lambda job: 3_600_000 if job.task == "tasks.long" else between_50_and_150(job)
    )
    simulation.run(until_ms=world.now + 3_599_000)
    world.enqueue("storm", number=2000)
    simulation.run(until_ms=world.now + 10_000)

    world.enqueue("long", number=1, task="tasks.short")
    start, seen = world.now, len(simulation.claims)
    simulation.run(until_ms=world.now + 30_000)

    [job] = [job for job in simulation.claims[seen:] if job.org == "long"]
    assert job.claimed_ms - start < 15_000


def test_an_org_that_returns_shares_with_the_one_that_stayed(world: World) -> None:
    world.enqueue("stays", number=3000)
    world.enqueue("returns", number=100)
    simulation = Simulation(world, between_50_and_150)
    simulation.run(until_ms=world.now + 10_000)
    world.enqueue("returns", number=1000)
    seen = len(simulation.claims)

    simulation.run(claims=seen + 200)

    assert simulation.share("returns", seen) == pytest.approx(0.5, abs=0.04)


def test_a_changed_weight_acts_on_the_backlog_at_once(world: World) -> None:
    for org in ("a", "b"):
        world.enqueue(org, number=2000)
    simulation = Simulation(world, between_50_and_150)
    simulation.run(claims=200)
    world.store.set_limits(QUEUE, {"a": Limits(weight=9)}, now_ms=world.now)

    simulation.run(claims=700)

    assert simulation.share("a", 200) == pytest.approx(0.9, abs=0.02)


def test_resources_do_not_multiply_an_orgs_share(world: World) -> None:
    for resource in ("", "mail", "sms", "pay"):
        world.enqueue("many", number=500, resource=resource)
    world.enqueue("one", number=2000)
    simulation = Simulation(world, lambda job: 200 if job.org == "many" else 100)

    simulation.run(claims=1200)

    assert simulation.time_share("many") == pytest.approx(0.5, abs=0.02)


def test_released_work_is_not_charged(world: World) -> None:
    world.enqueue("acme", number=20)
    world.enqueue("beta", number=20)
    for _ in range(5):
        jobs = [job for job in world.take(20) if job.org == "acme"]
        world.store.leave("w1", now_ms=world.now)
        assert jobs

    assert world.org("acme").virtual_time_ms == world.org("beta").virtual_time_ms == 0
