"""hold.lua: one job waits for a person, and comes back where it was."""

from __future__ import annotations

import pytest

from tests.engine.invariants import check
from tests.engine.world import QUEUE, World


def hold(world: World, task_id: str) -> str:
    return world.store.hold(task_id, now_ms=world.now)


def release(world: World, task_id: str) -> str:
    return world.store.release_job(task_id, now_ms=world.now)


def test_a_held_job_is_not_claimed_and_keeps_its_place(world: World) -> None:
    first, second = world.enqueue(number=2)

    assert hold(world, first.task_id) == "held"
    assert hold(world, first.task_id) == "held"
    check(world)
    assert (world.queue().ready, world.queue().blocked) == (1, 1)
    world.clock.advance(seconds=5)
    [late] = world.enqueue()

    assert release(world, first.task_id) == "released"
    assert release(world, first.task_id) == "unchanged"
    check(world)
    assert world.bell()
    assert [job.tag for job in world.take(3)] == [first.tag, second.tag, late.tag]


def test_the_only_job_of_an_org_can_be_held(world: World) -> None:
    [job] = world.enqueue()

    hold(world, job.task_id)

    check(world)
    assert world.take() == []
    assert world.queue().orgs_waiting == 0


def test_a_scheduled_job_keeps_its_time(world: World) -> None:
    [job] = world.enqueue(due_ms=world.now + 10_000)
    hold(world, job.task_id)
    check(world)
    assert world.queue().scheduled == 0

    world.clock.advance(seconds=1)
    release(world, job.task_id)

    check(world)
    assert world.take() == []
    world.clock.advance(seconds=9)
    assert world.one().tag == job.tag


def test_a_scheduled_job_that_came_due_while_held_has_been_ready_since_then(world: World) -> None:
    due = world.now + 1000
    [held] = world.enqueue(due_ms=due)
    hold(world, held.task_id)
    world.clock.advance(seconds=60)
    release(world, held.task_id)

    assert world.one().rank_ms == due + held.patience_ms


def test_a_running_job_is_not_held(world: World) -> None:
    [job] = world.enqueue()
    leased = world.one()

    assert hold(world, job.task_id) == "leased"
    assert release(world, job.task_id) == "unchanged"
    assert world.settle(leased) == ["settled"]
    assert hold(world, job.task_id) == "unknown"
    assert release(world, job.task_id) == "unknown"


def test_a_held_job_is_cancelled_and_purged_like_any_other(world: World) -> None:
    one, two = world.enqueue(number=2)
    hold(world, one.task_id)
    hold(world, two.task_id)

    assert world.store.cancel(one.task_id, now_ms=world.now) == "cancelled"
    assert world.store.purge(QUEUE, now_ms=world.now) == 1

    check(world)
    assert not [key for key in world.keyspace() if key.startswith(("qo1:blocked", "qo1:parents", "qo1:job"))]


def test_a_person_can_release_a_job_from_what_it_waits_for(world: World) -> None:
    parents = world.enqueue(number=2, due_ms=world.now + 60_000)
    after = tuple(parent.task_id for parent in parents)
    now, later, held = (world.enqueue(after=after, due_ms=due)[0] for due in (0, world.now + 5000, 0))
    hold(world, held.task_id)

    for job in (now, later, held):
        assert world.store.release_job(job.task_id, from_parents=True, now_ms=world.now) == "released"
        assert world.store.release_job(job.task_id, from_parents=True, now_ms=world.now) == "unchanged"
        check(world)

    assert "qo1:marks" not in world.keyspace(), "its parents know nothing of it"
    assert {job.tag for job in world.take(5)} == {now.tag, held.tag}
    world.clock.advance(seconds=5)
    assert world.one().tag == later.tag


@pytest.mark.parametrize("finish_first", [True, False])
def test_a_held_job_that_waits_for_another_waits_for_both(world: World, finish_first: bool) -> None:
    [parent] = world.enqueue()
    [child] = world.enqueue(after=(parent.task_id,))
    assert hold(world, child.task_id) == "held"
    running = world.one()

    if finish_first:
        world.settle(running)
        assert world.take() == []
        finished = world.now
        world.clock.advance(seconds=30)
        release(world, child.task_id)
        assert world.one().rank_ms == finished + child.patience_ms, "ready since its parent ended"
    else:
        release(world, child.task_id)
        assert world.take() == []
        world.settle(running)
        assert world.one().tag == child.tag
    check(world)
