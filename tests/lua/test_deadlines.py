"""Deadlines in the engine: where late jobs stand, and what becomes of those that must not run late."""

from __future__ import annotations

from queueops.engine.rules.priority import Priority, patience_ms
from tests.engine import invariants
from tests.engine.world import World

MINUTE = 60_000
CRITICAL, NORMAL, LOW = (patience_ms(one) for one in (Priority.CRITICAL, Priority.NORMAL, Priority.LOW))


def order(world: World) -> list[str]:
    return [job.task for job in world.take(9)]


def test_a_late_job_runs_before_all_fresh_ones_of_its_org(world: World) -> None:
    world.enqueue("acme", task="late", patience_ms=LOW, deadline_ms=world.now + 1000)
    world.enqueue("acme", task="later", patience_ms=CRITICAL, deadline_ms=world.now + 1500)
    world.clock.advance(ms=5000)
    world.enqueue("acme", task="fresh", patience_ms=CRITICAL)
    world.enqueue("acme", task="in time", patience_ms=LOW, deadline_ms=world.now + 1000)

    # CRITICAL has no patience: ready 1 s before the first deadline, it stands before it.
    assert order(world) == ["later", "late", "fresh", "in time"]


def test_what_has_waited_out_its_patience_before_that_deadline_goes_first(world: World) -> None:
    world.enqueue("acme", task="old", patience_ms=NORMAL)
    world.clock.advance(ms=NORMAL + MINUTE)
    world.enqueue("acme", task="late", patience_ms=LOW, deadline_ms=world.now - 1000)
    world.enqueue("acme", task="fresh", patience_ms=CRITICAL)

    assert order(world) == ["old", "late", "fresh"]


def test_a_stream_of_late_jobs_does_not_starve_the_rest(world: World) -> None:
    world.enqueue("acme", task="patient", patience_ms=LOW)
    claims = 0
    while claims < 200:
        world.enqueue("acme", number=2, task="late", deadline_ms=world.now - 1)
        claims += 1
        if world.one().task == "patient":
            break
        world.clock.advance(ms=MINUTE)
    assert claims <= 2 * (LOW // MINUTE + 1) + 1, "after the late jobs of its own patience"


def test_a_job_that_must_not_run_late_dies_when_its_turn_comes(world: World) -> None:
    world.enqueue("acme", task="late", deadline_ms=world.now + 1000, expires_late=True, once=True)
    world.enqueue("acme", task="late too", deadline_ms=world.now + 1000, expires_late=True)
    world.enqueue("acme", task="in time", deadline_ms=world.now + 9000, expires_late=True)
    world.enqueue("acme", task="runs late", deadline_ms=world.now + 500)
    world.clock.advance(ms=3500)

    assert order(world) == ["runs late", "in time"]

    first, second = world.store.dead_read()
    assert {first.task, second.task} == {"late", "late too"}
    assert first.token != second.token
    assert first.detail == {
        "reason": "expired",
        "error": "DeadlinePassed",
        "message": "Its deadline had passed 2.5 s ago when its turn came.",
    }
    assert world.queue().totals["dead"] == 2
    invariants.check(world)


def test_many_late_jobs_are_buried_a_bounded_number_a_claim(world: World) -> None:
    world.enqueue("acme", number=300, deadline_ms=world.now + 10, expires_late=True)
    [last] = world.enqueue("acme")
    world.clock.advance(ms=1000)

    claims, found = 0, []
    while not found:
        answer = world.claim(free=1)
        found, claims = answer.jobs, claims + 1
        assert found or answer.more

    assert found[0].task_id == last.task_id
    assert 300 / 64 < claims < 8
    assert world.store.dead_size() == 300
    invariants.check(world)


def test_a_retry_that_comes_too_late_dies_too(world: World) -> None:
    world.enqueue("acme", deadline_ms=world.now + 1000, due_ms=world.now + 2000, attempt=1, expires_late=True)
    world.clock.advance(ms=2000)
    assert world.take(1) == []
    [entry] = world.store.dead_read()
    assert (entry.attempt, entry.detail["reason"]) == (1, "expired")
