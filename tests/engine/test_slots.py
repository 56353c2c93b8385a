"""Code that is no job shares a resource's limits with the jobs, and gives its slots back."""

from __future__ import annotations

from queueops.engine.rules.gates import Breaker, ResourceLimits
from tests.engine.invariants import check
from tests.engine.world import World


def look(world: World) -> tuple[int, str | None]:
    """Slots in use of the resource, and its gate."""
    seen = world.store.resource_snapshot("mail", now_ms=world.now)
    return seen.in_flight, seen.gate


def acquire(world: World, hold_ms: int = 60_000):  # type: ignore[no-untyped-def]
    return world.store.acquire_resource("mail", hold_ms=hold_ms, now_ms=world.now)


def test_code_and_jobs_share_a_cap(world: World) -> None:
    world.store.set_resources({"mail": ResourceLimits(max_in_flight=2)}, now_ms=world.now)
    world.enqueue("acme", number=3, resource="mail")
    held = acquire(world)
    assert held.gate == ""
    [job] = world.take(3)
    assert acquire(world).gate == "resource_concurrency"
    assert look(world) == (2, "resource_concurrency")
    # A slot that code gives back goes to a job at once
    assert world.store.give_slot(held.slot, now_ms=world.now)
    assert not world.store.give_slot(held.slot, now_ms=world.now), "once"
    assert world.bell()
    assert len(world.take(3)) == 1
    world.settle(job)
    check(world)


def test_code_and_jobs_share_a_rate(world: World) -> None:
    world.store.set_resources({"mail": ResourceLimits(per_minute=60, burst=2)}, now_ms=world.now)
    world.enqueue("acme", number=3, resource="mail")
    assert acquire(world).gate == ""
    assert len(world.take(3)) == 1
    answer = acquire(world)
    assert (answer.gate, answer.wait_ms, answer.slot) == ("resource_rate", 1000, "")
    world.clock.advance(ms=1000)
    assert acquire(world).gate == ""
    assert world.take(3) == []
    check(world)


def test_the_slot_of_code_that_died_comes_back_by_itself(world: World) -> None:
    world.store.set_resources({"mail": ResourceLimits(max_in_flight=1)}, now_ms=world.now)
    slot = acquire(world, hold_ms=5_000).slot
    world.enqueue("acme", resource="mail")
    assert world.take() == []
    world.clock.advance(ms=5_000)
    world.beat()
    assert world.bell()
    assert len(world.take()) == 1
    assert not world.store.give_slot(slot, now_ms=world.now)
    assert look(world)[0] == 1, "an expired slot is given back once"
    check(world)


def test_a_clock_that_steps_back_keeps_no_slot_for_longer_than_it_was_taken_for(world: World) -> None:
    world.store.set_resources({"mail": ResourceLimits(max_in_flight=2)}, now_ms=world.now)
    world.beat()
    acquire(world, hold_ms=5_000)
    acquire(world, hold_ms=20_000)
    world.clock.advance(seconds=-3600)
    world.beat()
    assert look(world) == (2, "resource_concurrency")

    world.beat_for(5)
    assert look(world) == (1, None)
    # One that was taken after the step stays for its time.
    after = acquire(world, hold_ms=30_000)
    world.beat_for(15)
    assert look(world) == (1, None)
    assert world.store.give_slot(after.slot, now_ms=world.now)
    check(world)


def test_a_slot_that_was_taken_before_anybody_saw_the_clock_step_back_keeps_its_time(world: World) -> None:
    world.store.set_resources({"mail": ResourceLimits(max_in_flight=2)}, now_ms=world.now)
    world.beat()
    world.clock.advance(seconds=-60)
    slot = acquire(world, hold_ms=30_000).slot
    world.beat_for(29)
    assert world.store.give_slot(slot, now_ms=world.now)


def test_how_code_ends_counts_for_the_breaker_and_it_may_be_a_probe(world: World) -> None:
    breaker = Breaker(min_calls=2, open_seconds=10, probes=1)
    world.store.set_resources({"mail": ResourceLimits(breaker=breaker)}, now_ms=world.now)
    for _ in range(2):
        world.store.give_slot(acquire(world).slot, "bad", now_ms=world.now)
    closed = acquire(world)
    assert (closed.gate, closed.wait_ms) == ("resource_breaker", 10_000)
    world.clock.advance(ms=10_000)
    probe = acquire(world)
    assert probe.gate == "" and acquire(world).gate == "resource_breaker"
    world.store.give_slot(probe.slot, "good", now_ms=world.now)
    assert look(world) == (0, None)


def test_a_resource_that_nobody_limits_leaves_no_trace(world: World) -> None:
    before = world.keyspace()
    assert acquire(world).slot == ""
    assert world.keyspace() == before


def test_a_rate_of_ones_own_never_shows_more_than_burst_and_rate(world: World) -> None:
    taken: list[int] = []
    for _ in range(400):
        answer = world.store.acquire_rate("sms", per_minute=100, burst=5, now_ms=world.now)
        if not answer.gate:
            taken.append(world.now)
        else:
            assert 0 < answer.wait_ms <= 600
        world.clock.advance(ms=97)
    for start in taken:
        for seconds in (1, 6, 30):
            seen = sum(start <= at < start + seconds * 1000 for at in taken)
            assert seen <= 5 + seconds * 100 / 60
    assert 64 <= len(taken) <= 70
    world.clock.advance(seconds=60)
    assert world.store.acquire_rate("sms", per_minute=100, burst=5, now_ms=world.now).gate == ""


def test_the_doctor_counts_the_slots_that_code_holds(world: World) -> None:
    world.store.set_resources({"mail": ResourceLimits(max_in_flight=3)}, now_ms=world.now)
    acquire(world)
    assert not world.store.check_leases(now_ms=world.now)[0]
    world.client.hset(world.store.key("resource", resource="mail"), "n", 7)
    assert world.store.check_leases(repair=True, now_ms=world.now)[0]
    assert look(world)[0] == 1
