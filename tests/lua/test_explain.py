"""explain.lua: where a job is and what decides when it runs, without changing anything."""

from __future__ import annotations

import random

import pytest

from queueops.engine.job_types import GateState, Rate
from queueops.engine.rules.gates import Breaker, Limits, ResourceLimits
from tests.engine.world import PATIENCE_MS, QUEUE, World


def test_a_ready_job_has_a_place_in_its_lane_and_its_org_one_in_the_ring(world: World) -> None:
    world.register(slots=8)
    world.enqueue("beta")
    jobs = world.enqueue("acme", number=3)
    world.enqueue("acme", resource="mail")

    seen = world.store.job(jobs[2].task_id, now_ms=world.now)

    assert seen is not None
    assert (seen.state, seen.queue, seen.tag, seen.head.org) == ("ready", QUEUE, jobs[2].tag, "acme")
    assert (seen.at_ms, seen.place, seen.lane_size, seen.before_elsewhere) == (
        world.now + PATIENCE_MS,
        2,
        3,
        0,
    )
    assert (seen.ring_place, seen.ring_size, seen.closed_by) == (0, 2, "")
    assert (seen.slots, seen.weight, seen.own_weight, seen.active_weight) == (8, 1, 1, 2)
    assert (seen.mean_ms, seen.lease, seen.message) == (None, None, jobs[2].message)
    assert seen.gates == (GateState("pause", "queue", False), GateState("pause", "org", False))


def test_jobs_of_the_orgs_other_lanes_that_rank_before_it_count(world: World) -> None:
    world.enqueue("acme", number=2, resource="mail")
    world.clock.advance(ms=1)
    [job] = world.enqueue("acme")
    world.clock.advance(ms=1)
    world.enqueue("acme", resource="mail")

    seen = world.store.job(job.task_id, now_ms=world.now)

    assert seen is not None
    assert (seen.place, seen.before_elsewhere) == (0, 2)


def test_the_mean_is_that_of_the_jobs_before_it(world: World) -> None:
    for task, run_ms in (("slow", 900), ("fast", 100)):
        world.enqueue("acme", task=task)
        world.settle(world.one(), run_ms=run_ms)
    world.enqueue("acme", number=3, task="slow")
    world.enqueue("acme", task="never.seen")
    [job] = world.enqueue("acme", task="fast")

    seen = world.store.job(job.task_id, now_ms=world.now)
    assert seen is not None and seen.mean_ms == 900
    world.take(4)
    seen = world.store.job(job.task_id, now_ms=world.now)
    assert seen is not None and seen.mean_ms == 100


def test_a_leased_job_names_who_holds_it(world: World) -> None:
    [job] = world.enqueue("acme")
    leased = world.one(holder="w7")
    world.clock.advance(ms=400)

    seen = world.store.job(job.task_id, now_ms=world.now)

    assert seen is not None and seen.lease is not None
    assert (seen.state, seen.lease.holder, seen.lease.token) == ("leased", "w7", leased.token)
    assert (seen.lease.claimed_ms, seen.lease.deliveries) == (world.now - 400, 1)
    assert seen.lease.expires_ms == world.now - 400 + world.store.lease_ms
    assert (seen.in_flight, seen.place) == (1, None)


def test_a_scheduled_job_says_when_it_is_due(world: World) -> None:
    [job] = world.enqueue("acme", due_ms=world.now + 5000, attempt=1, deadline_ms=world.now + 100)
    world.clock.advance(ms=200)

    seen = world.store.job(job.task_id, now_ms=world.now)

    assert seen is not None
    assert (seen.state, seen.at_ms, seen.head.attempt, seen.overdue_ms) == (
        "scheduled",
        world.now + 4800,
        1,
        100,
    )


def test_a_blocked_job_names_what_it_waits_for(world: World) -> None:
    [first] = world.enqueue("acme")
    [second] = world.enqueue("acme")
    [job] = world.enqueue("acme", after=(first.task_id, second.task_id))
    world.store.hold(second.task_id, now_ms=world.now)

    seen = world.store.job(job.task_id, now_ms=world.now)
    assert seen is not None
    assert (seen.state, seen.parents, seen.held) == ("blocked", 2, False)
    assert seen.blocked_on == tuple(sorted((first.task_id, second.task_id)))
    seen = world.store.job(second.task_id, now_ms=world.now)
    assert seen is not None
    assert (seen.state, seen.parents, seen.held, seen.blocked_on) == ("blocked", 0, True, ())


def test_what_is_over_is_unknown(world: World) -> None:
    [job] = world.enqueue("acme")
    world.settle(world.one())

    assert world.store.job(job.task_id, now_ms=world.now) is None
    assert world.store.job("never", now_ms=world.now) is None


def test_a_job_without_a_place_is_astray(world: World) -> None:
    [job] = world.enqueue("acme")
    world.client.delete(world.store.key("lane", queue=QUEUE, resource="", org="acme"))

    seen = world.store.job(job.task_id, now_ms=world.now)
    assert seen is not None and seen.state == "astray"


def test_each_gate_says_whether_it_is_open_and_until_when_it_is_not(world: World) -> None:
    world.store.set_queue(QUEUE, concurrency=9, now_ms=world.now)
    limits = Limits(rpm=60, burst=3, max_in_flight=2, share=0.25)
    world.store.set_limits(QUEUE, {"acme": limits}, now_ms=world.now)
    world.register(slots=8)
    jobs = world.enqueue("acme", number=5)
    assert len(world.take(5)) == 2
    world.store.pause(QUEUE, "acme", until_ms=world.now + 700, by="maria", reason="load", now_ms=world.now)

    seen = world.store.job(jobs[4].task_id, now_ms=world.now)

    assert seen is not None
    assert seen.gates == (
        GateState("pause", "queue", False),
        GateState("queue_concurrency", "queue", False, 0, 2, 9),
        GateState("pause", "org", True, world.now + 700, by="maria", reason="load"),
        GateState("org_concurrency", "org", True, 0, 2, 2),
        GateState("org_share", "org", False, 0, 2, 3),
        GateState("org_rate", "org", False, 0, 2, 3),
    )
    assert (seen.cap, seen.rates, seen.in_flight) == (2, (Rate("org_rate", 1, 1_000_000),), 2)
    world.store.pause(QUEUE, by="carl", now_ms=world.now)
    again = world.store.job(jobs[4].task_id, now_ms=world.now)
    assert again is not None
    assert again.gates[0] == GateState("pause", "queue", True, 0, by="carl")


def test_the_gates_of_its_resource_and_of_its_task(world: World) -> None:
    limits = ResourceLimits(per_minute=60, burst=2, max_in_flight=1, breaker=Breaker())
    world.store.set_resources({"mail": limits}, now_ms=world.now)
    jobs = world.enqueue("acme", number=3, resource="mail")
    world.take(1)

    seen = world.store.job(jobs[2].task_id, now_ms=world.now)

    assert seen is not None
    assert seen.gates[2:] == (
        GateState("pause", "resource", False),
        GateState("resource_breaker", "resource", False),
        GateState("resource_concurrency", "resource", True, 0, 1, 1),
        GateState("resource_rate", "resource", False, 0, 1, 2),
    )
    assert (seen.resource_cap, seen.rates) == (1, (Rate("resource_rate", 1, 1_000_000),))
    world.store.panic("mail", until_ms=world.now + 900, by="maria", reason="down", now_ms=world.now)
    world.store.pause(QUEUE, task="tasks.work", reason="bug", now_ms=world.now)
    seen = world.store.job(jobs[2].task_id, now_ms=world.now)
    assert seen is not None
    assert seen.gates[3] == GateState(
        "resource_breaker", "resource", True, world.now + 900, by="maria", reason="down"
    )
    assert seen.gates[-1] == GateState("pause", "task", True, reason="bug")


def test_a_job_put_aside_with_its_task_is_ready(world: World) -> None:
    [job] = world.enqueue("acme")
    world.store.pause(QUEUE, task="tasks.work", now_ms=world.now)
    assert world.take(1) == []

    seen = world.store.job(job.task_id, now_ms=world.now)
    assert seen is not None
    assert (seen.state, seen.place, seen.at_ms) == ("ready", None, world.now + PATIENCE_MS)
    assert seen.gates[-1] == GateState("pause", "task", True)


@pytest.mark.parametrize("seed", range(8))
def test_the_first_closed_gate_of_the_org_is_the_one_that_claims_meet(world: World, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(12):
        limits = Limits(
            rpm=dice.choice([None, 60, 600]),
            max_in_flight=dice.choice([None, 1, 3]),
            share=dice.choice([None, 0.3]),
        )
        world.store.set_limits(QUEUE, {"acme": limits}, now_ms=world.now)
        world.register(slots=dice.choice([2, 8]))
        world.enqueue("acme", number=3)
        if dice.random() < 0.2:
            world.store.pause(QUEUE, "acme", until_ms=world.now + 300, now_ms=world.now)
        leased = world.take(dice.choice([0, 1, 2]))
        world.settle(*leased[: dice.choice([0, 1])])
        world.clock.advance(ms=dice.choice([0, 50, 500]))
        [*_, last] = world.enqueue("acme")

        seen, picture = world.store.job(last.task_id, now_ms=world.now), world.org()

        assert seen is not None
        closed = [gate for gate in seen.gates if gate.closed and gate.subject == "org"]
        assert (closed[0].name if closed else None) == picture.gate
        if closed and closed[0].until_ms:
            assert closed[0].until_ms == picture.closed_until_ms
        assert (seen.rates[0].left if seen.rates else None) == picture.rate_left


def test_explaining_writes_nothing(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(rpm=60, until_ms=world.now + 1)}, now_ms=world.now)
    world.store.pause(QUEUE, "acme", until_ms=world.now + 1, now_ms=world.now)
    jobs = world.enqueue("acme", number=2)
    world.clock.advance(ms=5)
    world.take(1)
    before = world.keyspace()

    for job in jobs:
        world.store.job(job.task_id, now_ms=world.now)

    assert world.keyspace() == before
