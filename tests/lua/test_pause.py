"""pause.lua: a person closes a gate and opens it again."""

from __future__ import annotations

import pytest

from queueops.engine.rules.gates import Limits
from queueops.engine.types import Pause
from tests.engine.world import QUEUE, World


def test_a_paused_queue_gives_nothing_and_resumes_where_it_was(world: World) -> None:
    jobs = world.enqueue("acme", number=3)
    world.store.pause(QUEUE, by="ann", reason="deploy\tnow", now_ms=world.now)
    world.bell()

    assert world.take(3) == []
    assert not world.bell(), "an idle worker must not be rung by a queue that gives nothing"
    assert world.store.paused(QUEUE, now_ms=world.now) == {"": Pause(0, "ann", "deploy now")}
    picture = world.queue()
    assert (picture.gate, picture.paused) == ("pause", Pause(0, "ann", "deploy now"))
    world.clock.advance(seconds=3600)
    assert world.take(3) == []

    assert world.store.resume(QUEUE, now_ms=world.now)
    assert world.bell()
    assert [job.tag for job in world.take(3)] == [job.tag for job in jobs]
    assert not world.store.resume(QUEUE, now_ms=world.now)


def test_a_queues_pause_ends_by_itself(world: World) -> None:
    world.enqueue("acme")
    world.store.pause(QUEUE, until_ms=world.now + 5000, now_ms=world.now)

    world.clock.advance(ms=4999)
    claim = world.claim()
    assert (claim.jobs, claim.wait_ms) == ([], 10), "the keeper wakes for the end of the pause"
    world.clock.advance(ms=1)

    assert world.one()
    assert world.store.paused(QUEUE, now_ms=world.now) == {}
    assert not world.keyspace().keys() & {"qo1:gates:standard", "qo1:timers:standard"}


def test_a_pause_that_follows_another_ends_when_it_says(world: World) -> None:
    world.enqueue("acme")
    world.store.pause(QUEUE, until_ms=world.now + 5000, now_ms=world.now)
    world.store.pause(QUEUE, now_ms=world.now)
    world.clock.advance(seconds=6)
    assert world.take(1) == [], "the second pause has no end"

    world.store.pause(QUEUE, until_ms=world.now + 9000, now_ms=world.now)
    world.store.pause(QUEUE, until_ms=world.now + 1000, now_ms=world.now)
    world.clock.advance(seconds=1)
    assert world.one()


def test_a_paused_org_waits_while_others_run(world: World) -> None:
    world.enqueue("acme", number=2)
    world.enqueue("beta", number=2)
    world.store.pause(QUEUE, "acme", by="ann", now_ms=world.now)

    assert [job.org for job in world.take(4)] == ["beta", "beta"]
    picture = world.org("acme")
    assert (picture.gate, picture.paused, picture.ready) == ("pause", Pause(0, "ann", ""), 2)

    assert world.store.resume(QUEUE, "acme", now_ms=world.now)
    assert world.bell()
    assert [job.org for job in world.take(4)] == ["acme", "acme"]


def test_an_orgs_pause_ends_by_itself(world: World) -> None:
    world.enqueue("acme")
    world.store.pause(QUEUE, "acme", until_ms=world.now + 500, now_ms=world.now)
    assert world.take(1) == []
    assert world.claim().wait_ms == 500

    world.clock.advance(ms=500)

    assert world.one()
    assert world.store.paused(QUEUE, now_ms=world.now) == {}
    assert "!acme" not in world.keyspace()["qo1:gates:standard"]


def test_the_pause_of_an_idle_org_leaves_nothing_after_its_end(world: World) -> None:
    world.store.pause(QUEUE, "acme", until_ms=world.now + 500, now_ms=world.now)
    world.clock.advance(ms=500)
    assert world.store.paused(QUEUE, now_ms=world.now) == {}

    world.claim()

    assert not world.keyspace().keys() & {"qo1:timers:standard"}
    assert "!acme" not in world.keyspace()["qo1:gates:standard"]


def test_a_shorter_pause_replaces_a_longer_one(world: World) -> None:
    world.enqueue("acme")
    world.store.pause(QUEUE, "acme", until_ms=world.now + 3_600_000, now_ms=world.now)
    assert world.take(1) == []

    world.store.pause(QUEUE, "acme", until_ms=world.now + 1000, now_ms=world.now)
    world.clock.advance(seconds=1)

    assert world.one()


@pytest.mark.parametrize("until", [0, 3_600_000])
def test_an_org_paused_while_another_gate_holds_it_resumes_at_once(world: World, until: int) -> None:
    world.store.set_limits(QUEUE, {"acme": Limits(rpm=60, burst=1)}, now_ms=world.now)
    world.enqueue("acme", number=2)
    world.one()
    world.store.pause(QUEUE, "acme", until_ms=until and world.now + until, now_ms=world.now)
    world.clock.advance(seconds=2)
    assert world.take(1) == []

    world.store.resume(QUEUE, "acme", now_ms=world.now)

    assert world.one()


def test_what_runs_when_the_queue_is_paused_ends_as_ever(world: World) -> None:
    world.enqueue("acme", number=2)
    job = world.one()
    world.store.pause(QUEUE, now_ms=world.now)

    assert world.settle(job) == ["settled"]
    assert world.queue().ready == 1


def test_jobs_that_come_due_in_a_paused_queue_wait_in_their_lanes(world: World) -> None:
    world.enqueue("acme", due_ms=world.now + 1000)
    world.store.pause(QUEUE, now_ms=world.now)
    world.clock.advance(seconds=1)

    assert world.take(1) == []

    assert (world.queue().ready, world.queue().scheduled) == (1, 0)
