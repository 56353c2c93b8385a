"""drain.lua: a queue's waiting jobs are put off."""

from __future__ import annotations

from queueops.engine.rules.gates import Limits
from tests.engine import invariants
from tests.engine.world import QUEUE, World


def drain(world: World, until_ms: int = 0) -> list[int]:
    return list(world.store.drain_steps(QUEUE, until_ms, now_ms=world.now))


def test_nothing_starts_before_then_and_everything_after(world: World) -> None:
    world.store.set_limits(QUEUE, {"capped": Limits(max_in_flight=0)}, now_ms=world.now)
    world.enqueue("acme", number=3)
    world.enqueue("acme", number=2, resource="mail")
    world.enqueue("beta", due_ms=world.now + 1000)
    world.enqueue("beta", due_ms=world.now + 99_000)
    world.enqueue("capped", number=2)
    running = world.one()
    world.take(1)
    until = world.now + 50_000

    assert sum(drain(world, until)) == 6

    invariants.check(world)
    picture = world.queue()
    assert (picture.ready, picture.scheduled, picture.leased) == (0, 7, 2)
    world.clock.advance(ms=49_999)
    world.renew(ran={running.token: 5})
    assert world.take(9) == []
    assert drain(world, until) == [], "what was put off stays where it is"
    world.clock.advance(ms=1)
    assert len(world.take(9)) == 4
    invariants.check(world)


def test_many_jobs_of_many_orgs_go_in_steps(world: World) -> None:
    for number in range(40):
        world.enqueue(f"org{number}", number=70)
    until = world.now + 60_000

    steps = drain(world, until)

    assert sum(steps) == 2800 and max(steps) <= 1000
    assert (world.queue().ready, world.queue().scheduled) == (0, 2800)
    invariants.check(world)


def test_an_interrupted_drain_is_gone_on_with(world: World) -> None:
    world.enqueue("acme", number=2500)
    until = world.now + 60_000
    assert next(world.store.drain_steps(QUEUE, until, now_ms=world.now)) == 1000
    invariants.check(world)
    assert sum(drain(world, until)) == 1500


def test_for_good(world: World) -> None:
    world.enqueue("acme", number=1200)
    world.enqueue("acme", due_ms=world.now + 9)
    assert sum(drain(world)) == 1201
    assert world.queue().totals["cancelled"] == 1201
