"""list.lua: pages of the jobs that wait or run."""

from __future__ import annotations

from typing import Any

from queueops.engine.job_types import JobRow
from tests.engine.world import QUEUE, World


def listed(world: World, **filters: Any) -> list[JobRow]:
    cursor, rows = "0", {}
    while True:
        page, cursor = world.store.job_page(cursor, now_ms=world.now, **filters)
        rows |= {row.task_id: row for row in page}
        if cursor == "0":
            return sorted(rows.values(), key=lambda row: (row.org, row.state, row.task_id))


def test_filters_by_queue_state_org_and_task(world: World) -> None:
    world.enqueue("acme", number=2, task="a")
    world.enqueue("acme", due_ms=world.now + 1000, task="b")
    world.enqueue("beta", task="a")
    world.enqueue("acme", queue="bulk", task="a")
    leased = world.one(queues=["bulk"], holder="w3")

    assert [(row.org, row.state, row.task) for row in listed(world)] == [
        ("acme", "leased", "a"),
        ("acme", "ready", "a"),
        ("acme", "ready", "a"),
        ("acme", "scheduled", "b"),
        ("beta", "ready", "a"),
    ]
    assert len(listed(world, queue=QUEUE)) == 4
    assert len(listed(world, queue=QUEUE, org="acme", task="a")) == 2
    assert [row.at_ms for row in listed(world, state="scheduled")] == [world.now + 1000]
    [row] = listed(world, state="leased")
    assert (row.task_id, row.queue, row.holder, row.at_ms) == (leased.task_id, "bulk", "w3", world.now)
    assert listed(world, state="leased", queue=QUEUE) == []


def test_pages_show_every_job_of_a_long_list(world: World) -> None:
    jobs = world.enqueue("acme", number=1700) + world.enqueue("beta", number=300)

    page, cursor = world.store.job_page(now_ms=world.now)

    assert 0 < len(page) < 2000 and cursor != "0"
    assert {row.task_id for row in listed(world)} == {job.task_id for job in jobs}
    assert len(listed(world, org="beta")) == 300


def test_old_leases_alone(world: World) -> None:
    world.enqueue("acme", number=2, run_limit_ms=1500)
    old = world.one()
    world.clock.advance(ms=1000)
    young = world.one()

    def found() -> set[str]:
        before_ms = old.claimed_ms + 1
        rows, cursor = world.store.job_page(state="leased", claimed_before_ms=before_ms, now_ms=world.now)
        assert cursor == "0" and {row.run_limit_ms for row in rows} == {1500}
        return {row.task_id for row in rows}

    assert found() == {old.task_id}
    world.clock.advance(ms=1500)
    assert found() == {old.task_id}, "at its run limit it is not past it"
    world.clock.advance(ms=1)
    assert found() == {old.task_id, young.task_id}


def test_jobs_past_their_deadline(world: World) -> None:
    world.enqueue("acme", number=3)
    [late] = world.enqueue("acme", deadline_ms=world.now + 100)
    world.enqueue("acme", deadline_ms=world.now + 5000)
    world.clock.advance(ms=350)

    [row] = listed(world, overdue=True)

    assert (row.task_id, row.overdue_ms(world.now)) == (late.task_id, 250)
