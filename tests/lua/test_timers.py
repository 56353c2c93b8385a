"""lib/timers.lua through claims: what time alone changes."""

from __future__ import annotations

from queueops.engine.rules.gates import Limits
from tests.engine.world import QUEUE, World


def test_a_scheduled_job_whose_text_is_gone_leaves_no_trace(world: World) -> None:
    lost, kept = world.enqueue("acme", number=2, due_ms=world.now + 100)
    world.client.delete(world.store.key("job", queue=QUEUE, tag=lost.tag))
    world.clock.advance(ms=100)

    assert [job.tag for job in world.take(2)] == [kept.tag]

    assert (world.queue().ready, world.queue().scheduled) == (0, 0)
    assert not world.keyspace().keys() & {"qo1:scheduled:standard:acme", "qo1:timers:standard"}


def test_an_org_whose_only_due_job_is_gone_leaves_the_timers(world: World) -> None:
    [lost] = world.enqueue("acme", due_ms=world.now + 100)
    world.client.delete(world.store.key("job", queue=QUEUE, tag=lost.tag))
    world.clock.advance(ms=100)

    assert world.take(1) == []
    assert not world.keyspace().keys() & {"qo1:scheduled:standard:acme", "qo1:timers:standard"}


def test_an_org_is_due_again_at_its_next_job(world: World) -> None:
    world.enqueue("acme", due_ms=world.now + 100)
    world.enqueue("acme", due_ms=world.now + 900)
    world.clock.advance(ms=100)

    assert len(world.take(2)) == 1
    assert world.keyspace()["qo1:timers:standard"] == {"sacme": world.now + 800}


def test_an_org_with_more_due_jobs_goes_behind_the_others(world: World) -> None:
    world.enqueue("big", number=40, due_ms=world.now + 100)
    world.enqueue("small", due_ms=world.now + 105)
    world.clock.advance(ms=110)

    world.claim(free=1)

    assert world.keyspace()["qo1:timers:standard"] == {"sbig": world.now}
    assert world.org("small").scheduled == 0


def test_due_jobs_of_a_closed_org_wait_in_its_lane(world: World) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(max_in_flight=1)}, now_ms=world.now)
    world.enqueue("acme", number=2)
    running = world.one()
    world.enqueue("acme", due_ms=world.now + 100)
    world.clock.advance(ms=100)

    assert world.take(1) == []
    assert (world.org().ready, world.org().gate) == (2, "org_concurrency")
    world.settle(running)
    assert len(world.take(5)) == 1


def test_a_promoted_job_is_due_by_its_priority(world: World) -> None:
    due = world.now + 100
    low, high = world.job("acme", due_ms=due, patience_ms=5000), world.job("acme", due_ms=due, patience_ms=0)
    world.store.enqueue(QUEUE, [low, high], now_ms=world.now)
    world.clock.advance(ms=100)

    assert [job.tag for job in world.take(2)] == [high.tag, low.tag]
