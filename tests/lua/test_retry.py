"""retry.lua: a job that waits for its time runs now."""

from __future__ import annotations

from tests.engine import invariants
from tests.engine.world import PATIENCE_MS, World


def test_the_next_attempt_runs_now(world: World) -> None:
    [first] = world.enqueue("acme", due_ms=world.now + 60_000, attempt=1)
    [second] = world.enqueue("acme", due_ms=world.now + 90_000)
    world.bell()

    assert world.store.retry(first.task_id, now_ms=world.now) == "ready"

    assert world.bell()
    invariants.check(world)
    assert (world.queue().ready, world.queue().scheduled) == (1, 1)
    job = world.one()
    assert (job.task_id, job.attempt, job.rank_ms) == (first.task_id, 1, world.now + PATIENCE_MS)
    assert world.store.retry(second.task_id, now_ms=world.now) == "ready"
    invariants.check(world)
    assert world.one().task_id == second.task_id


def test_a_job_that_waits_for_no_time_is_left_alone(world: World) -> None:
    [ready, leased] = world.enqueue("acme", number=2)
    taken = world.one()
    assert taken.task_id == ready.task_id
    before = world.keyspace()

    assert world.store.retry(ready.task_id, now_ms=world.now) == "unchanged"
    assert world.store.retry(leased.task_id, now_ms=world.now) == "unchanged"
    assert world.store.retry("nobody", now_ms=world.now) == "unknown"

    assert world.keyspace() == before
