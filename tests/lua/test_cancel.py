"""cancel.lua: a cancelled job never runs, wherever it is."""

from __future__ import annotations

import pytest

from tests.engine.invariants import check
from tests.engine.world import QUEUE, World


@pytest.mark.parametrize("due_in_ms", [0, 60_000])
def test_a_waiting_job_is_gone_at_once(world: World, due_in_ms: int) -> None:
    [job] = world.enqueue(due_ms=world.now + due_in_ms)

    assert world.store.cancel(job.task_id, now_ms=world.now) == "cancelled"

    check(world)
    picture = world.queue()
    assert (picture.ready, picture.scheduled, picture.totals["cancelled"]) == (0, 0, 1)
    world.clock.advance(ms=due_in_ms + 1)
    assert world.take() == []
    assert world.store.cancel(job.task_id, now_ms=world.now) == "unknown"


def test_the_other_jobs_of_the_lane_stay(world: World) -> None:
    first, second, third = world.enqueue(number=3)

    world.store.cancel(second.task_id, now_ms=world.now)

    check(world)
    assert [job.tag for job in world.take(3)] == [first.tag, third.tag]


def test_a_publish_retry_does_not_bring_it_back(world: World) -> None:
    [job] = world.enqueue()
    world.store.cancel(job.task_id, now_ms=world.now)

    again = world.job(tag=job.tag, task_id=job.task_id, repeated=True)

    assert world.store.enqueue(QUEUE, [again], now_ms=world.now) == ["duplicate"]


def test_the_worker_of_a_leased_job_learns_of_it_by_a_renewal(world: World) -> None:
    world.enqueue(number=2)
    job, other = world.take(2)

    assert world.store.cancel(job.task_id, now_ms=world.now) == "cancelling"
    assert world.store.cancel(job.task_id, now_ms=world.now) == "cancelling"

    renewal = world.renewal("w1", {job.token: 5, other.token: 5})
    assert (renewal.lost, renewal.cancelled) == ([], [job.token])
    assert world.settle(job, outcome="cancelled") == ["settled"]
    assert world.settle(other) == ["settled"]
    assert not {"qo1:cancelled", "qo1:marks", "qo1:ids"} & world.keyspace().keys()


def test_a_run_may_be_spared_unless_somebody_wants_it_stopped(world: World) -> None:
    world.enqueue(number=2)
    job, other = world.take(2)
    held = {job.token: 5.0, other.token: 5.0}

    assert world.store.cancel(job.task_id, now_ms=world.now, stop=False) == "cancelling"
    renewal = world.renewal("w1", held)
    assert (renewal.cancelled, renewal.spared) == ([], [job.token])
    for stop in (True, False):
        world.store.cancel(job.task_id, now_ms=world.now, stop=stop)
        renewal = world.renewal("w1", held)
        assert (renewal.cancelled, renewal.spared) == ([job.token], [])

    # It never runs again, whichever it was.
    world.store.cancel(other.task_id, now_ms=world.now, stop=False)
    assert world.store.release([other.token], now_ms=world.now) == ["cancelled"]
    assert world.settle(job) == ["settled"]
    assert not {"qo1:cancelled", "qo1:marks", "qo1:ids"} & world.keyspace().keys()


def test_the_retry_of_a_cancelled_job_is_refused_and_ends_it(world: World) -> None:
    world.enqueue(task_id="same")
    old = world.one()
    world.store.cancel("same", now_ms=world.now)

    retry = world.job(task_id="same", supersedes=old.token)

    assert world.store.enqueue(QUEUE, [retry], now_ms=world.now) == ["cancelled"]
    check(world)
    assert world.queue().totals["cancelled"] == 1
    assert (world.queue().leased, world.queue().ready) == (0, 0)
    assert not {"qo1:cancelled", "qo1:marks", "qo1:ids"} & world.keyspace().keys()


@pytest.mark.parametrize("lost", [False, True])
def test_a_cancelled_job_that_is_given_back_ends(world: World, lost: bool) -> None:
    [job] = world.enqueue()
    leased = world.one()
    world.store.cancel(job.task_id, now_ms=world.now)

    assert world.store.release([leased.token], lost=lost, now_ms=world.now) == ["cancelled"]

    check(world)
    assert world.take() == []
    assert "qo1:cancelled" not in world.keyspace()


def test_a_cancelled_job_whose_worker_died_ends(world: World) -> None:
    world.beat()
    [job] = world.enqueue()
    world.one()
    world.store.cancel(job.task_id, now_ms=world.now)

    assert world.beat_for(35) == 1

    check(world)
    assert world.take() == []
    assert world.queue().totals["cancelled"] == 1


def test_a_retry_that_waits_is_cancelled_by_the_same_id(world: World) -> None:
    world.enqueue(task_id="same")
    retry = world.job(task_id="same", supersedes=world.one().token, due_ms=world.now + 5000)
    world.store.enqueue(QUEUE, [retry], now_ms=world.now)

    assert world.store.cancel("same", now_ms=world.now) == "cancelled"
    check(world)
    assert world.queue().scheduled == 0
