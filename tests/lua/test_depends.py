"""Jobs that wait for others: who is released, cancelled or kept waiting, and when."""

from __future__ import annotations

from typing import Any

import pytest

from queueops.engine.rules.envelope import NewJob
from queueops.errors import InvalidMessage, UnknownParent
from tests.engine.invariants import check
from tests.engine.world import QUEUE, World

OF_DEPENDENCIES = (
    "qo1:blocked",
    "qo1:parents",
    "qo1:children",
    "qo1:marks",
    "qo1:kept",
    "qo1:ids",
    "qo1:job",
)


def child_of(world: World, *parents: NewJob, queue: str = QUEUE, **fields: Any) -> NewJob:
    """Enqueue a job that waits for ``parents``; it must be blocked."""
    job = world.job(after=tuple(parent.task_id for parent in parents), **fields)
    assert world.store.enqueue(queue, [job], now_ms=world.now) == ["blocked"]
    check(world)
    return job


def leftovers(world: World) -> list[str]:
    return [key for key in world.keyspace() if key.startswith(OF_DEPENDENCIES)]


def test_a_child_runs_when_its_last_parent_has_succeeded(world: World) -> None:
    parents = world.enqueue(number=2)
    child = child_of(world, *parents)
    assert world.queue().blocked == 1
    assert world.store.waiting_for([parents[0].task_id, "nobody"]) == {parents[0].task_id: 1}
    first, second = world.take(3)

    world.settle(first)
    assert world.take() == []
    check(world)
    world.bell()
    world.clock.advance(seconds=30)
    world.settle(second)
    assert world.bell(), "somebody is told that there is work"
    leased = world.one()

    assert leased.tag == child.tag
    assert leased.rank_ms == world.now + child.patience_ms, "it waited for others, not for service"
    check(world)
    world.settle(leased)
    assert leftovers(world) == []


def test_children_in_other_queues_are_released(world: World) -> None:
    [parent] = world.enqueue()
    here, there = child_of(world, parent), child_of(world, parent, queue="bulk", org="beta")
    assert world.store.waiting_for([parent.task_id]) == {parent.task_id: 2}

    world.settle(world.one())

    assert world.bell("bulk")
    assert world.one(queues=("bulk",)).tag == there.tag
    assert world.one().tag == here.tag
    check(world)


def test_a_grandchild_waits_for_the_child(world: World) -> None:
    [parent] = world.enqueue()
    child = child_of(world, parent)
    grandchild = child_of(world, child)

    for expected in (parent, child, grandchild):
        leased = world.one()
        assert leased.tag == expected.tag
        assert world.take() == []
        world.settle(leased)
        check(world)
    assert leftovers(world) == []


def test_a_step_may_hold_parents_and_children(world: World) -> None:
    parent = world.job()
    children = [world.job(after=(parent.task_id,)) for _ in range(3)]

    words = world.store.enqueue(QUEUE, [parent, *children], now_ms=world.now)

    assert words == ["ready", "blocked", "blocked", "blocked"]
    check(world)


@pytest.mark.parametrize("seconds", [0, 60, 119])
def test_a_parent_that_has_just_succeeded_blocks_nothing(world: World, seconds: int) -> None:
    [parent] = world.enqueue()
    world.settle(world.one())
    world.clock.advance(seconds=seconds)

    job = world.job(after=(parent.task_id,))

    assert world.store.enqueue(QUEUE, [job], now_ms=world.now) == ["ready"]
    check(world)


def test_a_parent_that_asked_for_it_is_remembered_longer(world: World) -> None:
    [parent] = world.enqueue(keep_ms=3_600_000)
    world.settle(world.one())
    assert leftovers(world) == [f"qo1:kept:{parent.task_id}"]
    assert 0 < world.client.pttl(world.store.key("kept", task_id=parent.task_id)) <= 3_720_000

    world.clock.advance(seconds=3600)
    assert world.store.enqueue(QUEUE, [world.job(after=(parent.task_id,))], now_ms=world.now) == ["ready"]
    world.clock.advance(seconds=121)
    with pytest.raises(UnknownParent):
        world.store.enqueue(QUEUE, [world.job(after=(parent.task_id,))], now_ms=world.now)


def test_an_unknown_parent_is_refused_before_anything_is_written(world: World) -> None:
    [parent] = world.enqueue()
    before = world.keyspace()
    step = [
        world.job(),
        world.job(unique="digest"),
        world.job(after=(parent.task_id,)),
        world.job(after=("nobody",)),
    ]

    with pytest.raises(UnknownParent, match=r"'nobody'.*Publish the parent first") as raised:
        world.store.enqueue(QUEUE, step, now_ms=world.now)

    assert raised.value.task_id == "nobody"
    assert world.keyspace() == before


@pytest.mark.parametrize("parent", ["", "!1", "a\tb", "x" * 256, "own"])
def test_what_is_no_task_id_is_refused(world: World, parent: str) -> None:
    with pytest.raises(InvalidMessage):
        world.store.enqueue(QUEUE, [world.job(after=(parent,), task_id="own")], now_ms=world.now)
    assert world.keyspace() == {}


@pytest.mark.parametrize("parent_first", [True, False])
def test_a_child_with_an_eta_waits_for_both(world: World, parent_first: bool) -> None:
    [parent] = world.enqueue()
    due = world.now + 10_000
    child = child_of(world, parent, due_ms=due)
    leased = world.one()

    if parent_first:
        world.settle(leased)
        assert world.take() == []
        check(world)
        assert (world.queue().blocked, world.queue().scheduled) == (0, 1)
        world.clock.now_ms = due
    else:
        world.clock.advance(seconds=11)
        assert world.take() == []
        world.settle(leased)
    assert world.one().tag == child.tag
    check(world)


def test_a_parent_that_retries_keeps_its_children(world: World) -> None:
    [parent] = world.enqueue(task_id="same")
    child = child_of(world, parent)

    for _ in range(3):
        retry = world.job(task_id="same", supersedes=world.one().token)
        assert world.store.enqueue(QUEUE, [retry], now_ms=world.now) == ["ready"]
        check(world)
        assert world.queue().blocked == 1
    world.settle(world.one())

    assert world.one().tag == child.tag


def test_a_task_published_again_while_it_lives_keeps_its_children(world: World) -> None:
    [parent] = world.enqueue(task_id="same")
    child = child_of(world, parent)
    first = world.one()
    [again] = world.enqueue(task_id="same")
    check(world)

    world.settle(first)
    second = world.one()
    assert second.tag == again.tag, "the task goes on as its latest message"
    assert world.take() == []
    world.settle(second)

    assert world.one().tag == child.tag
    check(world)


def test_a_dead_parent_keeps_its_children_and_its_replay_releases_them(world: World) -> None:
    [parent] = world.enqueue(task_id="same")
    child = child_of(world, parent)
    world.settle(world.one(), outcome="dead")
    check(world)
    late = child_of(world, parent)
    world.clock.advance(seconds=600)
    later = child_of(world, parent)
    assert world.take() == []

    replay = world.job(task_id="same", tag="replay-1", repeated=True, replays=True)
    assert world.store.enqueue(QUEUE, [replay, replay], now_ms=world.now) == ["ready", "duplicate"]
    check(world)
    assert "qo1:graves" not in world.keyspace()
    assert world.store.waiting_for(["same"]) == {"same": 3}
    world.settle(world.one())

    assert {job.tag for job in world.take(5)} == {child.tag, late.tag, later.tag}
    check(world)


def test_a_first_replay_takes_the_job_out_of_its_grave(world: World) -> None:
    world.enqueue(task_id="same")
    world.settle(world.one(), outcome="dead")
    assert world.keyspace()["qo1:graves"] == {"same": "standard\tt0001"}

    assert world.store.enqueue(QUEUE, [world.job(task_id="same", replays=True)], now_ms=world.now) == [
        "ready"
    ]

    assert "qo1:graves" not in world.keyspace()


def test_a_replay_waits_for_nobody(world: World) -> None:
    [parent] = world.enqueue()
    [child] = world.enqueue(after=(parent.task_id,))
    world.settle(world.one())
    world.settle(world.one(), outcome="dead")
    world.clock.advance(seconds=600)

    replay = world.job(task_id=child.task_id, after=(parent.task_id,), repeated=True, replays=True)

    assert world.store.enqueue(QUEUE, [replay], now_ms=world.now) == ["ready"]


def test_a_parent_that_dies_again_keeps_them_again(world: World) -> None:
    [parent] = world.enqueue(task_id="same")
    child_of(world, parent)
    world.settle(world.one(), outcome="dead")
    for _ in range(2):
        replay = world.job(task_id="same", repeated=True, replays=True)
        world.store.enqueue(QUEUE, [replay], now_ms=world.now)
        world.settle(world.one(), outcome="dead")
        check(world)
        assert world.queue().blocked == 1


@pytest.mark.parametrize("children", ["keep", "release", "cancel"])
def test_a_discarded_parent(world: World, children: Any) -> None:
    [parent] = world.enqueue()
    child = child_of(world, parent)
    world.settle(world.one(), outcome="dead")

    assert world.store.unbury([parent.task_id, "nobody"], children, now_ms=world.now) == 1

    with pytest.raises(UnknownParent):
        world.store.enqueue(QUEUE, [world.job(after=(parent.task_id,))], now_ms=world.now)
    got = [job.tag for job in world.take(2)]
    check(world)
    if children == "keep":
        assert (got, world.queue().blocked) == ([], 1)
        parents = world.keyspace()[f"qo1:parents:{QUEUE}:{child.tag}"]
        assert parents == {parent.task_id}, "what it waits for stays visible"
        assert world.store.cancel(child.task_id, now_ms=world.now) == "cancelled"
        check(world)
    elif children == "release":
        assert got == [child.tag]
    else:
        assert got == []
        assert world.queue().totals["cancelled"] == 1
    if children != "release":
        assert leftovers(world) == []


def test_a_child_whose_policy_says_so_is_cancelled_with_a_dead_parent_and_its_own_children_too(
    world: World,
) -> None:
    [parent] = world.enqueue()
    stays = child_of(world, parent)
    goes = child_of(world, parent, cancel_with_parent=True)
    goes_too = child_of(world, goes, cancel_with_parent=True, queue="bulk")
    stays_too = child_of(world, goes)

    world.settle(world.one(), outcome="dead")
    for _ in range(3):
        assert world.take(5, queues=(QUEUE, "bulk")) == []
    check(world)

    assert (world.queue().blocked, world.queue("bulk").blocked) == (2, 0)
    ids = world.keyspace()["qo1:ids"]
    assert {stays.task_id, stays_too.task_id} == set(ids)
    assert goes_too.task_id not in ids

    late = [
        world.job(after=(task_id,), cancel_with_parent=True) for task_id in (parent.task_id, goes.task_id)
    ]
    assert world.store.enqueue(QUEUE, late, now_ms=world.now) == ["cancelled"] * 2


def test_a_cancelled_parent_cancels_and_keeps_like_a_dead_one(world: World) -> None:
    [parent] = world.enqueue(due_ms=world.now + 1000)
    stays = child_of(world, parent)
    child_of(world, parent, cancel_with_parent=True)

    world.store.cancel(parent.task_id, now_ms=world.now)
    assert world.take() == []

    check(world)
    assert (world.queue().blocked, world.queue().totals["cancelled"]) == (1, 2)
    late = child_of(world, parent)
    for job in (stays, late):
        world.store.cancel(job.task_id, now_ms=world.now)
    assert leftovers(world) == []


def test_a_replay_comes_before_its_children_were_cancelled(world: World) -> None:
    [parent] = world.enqueue(task_id="same")
    child = child_of(world, parent, cancel_with_parent=True)
    world.settle(world.one(), outcome="dead")

    replay = world.job(task_id="same", repeated=True, replays=True)
    world.store.enqueue(QUEUE, [replay], now_ms=world.now)
    world.settle(world.one())

    assert world.one().tag == child.tag
    check(world)


def test_a_cancelled_child_leaves_no_trace_at_its_parent(world: World) -> None:
    parents = world.enqueue(number=2)
    child = child_of(world, *parents)

    assert world.store.cancel(child.task_id, now_ms=world.now) == "cancelled"

    check(world)
    assert "qo1:marks" not in world.keyspace()
    world.settle(*world.take(2))
    assert leftovers(world) == []


def test_purged_children_leave_no_trace_and_purged_parents_keep_theirs(world: World) -> None:
    [parent] = world.enqueue(queue="bulk")
    child_of(world, parent, unique="mine")
    stays = child_of(world, parent, queue="other")

    assert world.store.purge(QUEUE, now_ms=world.now) == 1
    check(world)
    assert not [key for key in world.keyspace() if key.startswith("qo1:unique")]
    assert world.store.purge("bulk", now_ms=world.now) == 1
    check(world)
    assert world.queue("other").blocked == 1
    world.store.cancel(stays.task_id, now_ms=world.now)
    assert leftovers(world) == []


def test_a_job_of_a_consumer_that_does_not_acknowledge_releases_its_children(world: World) -> None:
    [parent] = world.enqueue()
    child = child_of(world, parent)

    world.claim(1, forget=True)

    assert world.one().tag == child.tag


def test_a_clock_that_steps_back_does_not_keep_children_waiting(world: World) -> None:
    world.beat()
    [parent] = world.enqueue()
    child = child_of(world, parent)
    world.settle(world.one())
    world.clock.now_ms -= 3_600_000

    assert world.take() == [], "its timer lies in the future now"
    world.beat()
    assert world.one().tag == child.tag


def test_a_job_may_wait_for_a_thousand_others(world: World) -> None:
    parents = world.enqueue(number=1000)
    after = tuple(parent.task_id for parent in parents)
    words = world.store.enqueue(QUEUE, [world.job(after=after) for _ in range(5)], now_ms=world.now)
    assert words == ["blocked"] * 5
    check(world)
    with pytest.raises(InvalidMessage, match="at most 1,000 others"):
        world.store.enqueue(QUEUE, [world.job(after=(*after, "more"))], now_ms=world.now)

    world.settle(*world.take(1000))
    assert world.claim(5).jobs == [], "64 parents a claim"
    assert len(world.take(5)) == 5
    check(world)


def test_a_plain_job_pays_nothing_for_what_others_use(world: World) -> None:
    def life() -> int:
        before = calls(world)
        world.enqueue()
        leased = world.one()
        world.renew("w1", {leased.token: 5})
        world.settle(leased)
        return calls(world) - before

    world.beat()
    life()
    alone = life()
    [parent] = world.enqueue(due_ms=world.now + 60_000, unique="key", keep_ms=1000)
    child_of(world, parent)

    assert life() == alone


def test_thousands_of_children_are_released_in_bounded_steps(world: World) -> None:
    world.enqueue(task_id="parent")
    jobs = [world.job(f"org{n % 5}", after=("parent",)) for n in range(3000)]
    assert set(world.store.enqueue(QUEUE, jobs, now_ms=world.now)) == {"blocked"}
    world.settle(world.one())

    got: list[str] = []
    while len(got) < 3000:
        before = calls(world)
        claim = world.claim(8)
        assert calls(world) - before < 64 * 12 + 200, "one claim does a bounded part of the work"
        assert claim.jobs or claim.more
        got += [job.tag for job in claim.jobs]
        world.settle(*claim.jobs)
    check(world)
    assert len(set(got)) == 3000
    assert leftovers(world) == []


def test_thousands_of_children_are_cancelled_in_bounded_steps(world: World) -> None:
    world.enqueue(task_id="parent")
    jobs = [world.job(after=("parent",), cancel_with_parent=True) for _ in range(2000)]
    world.store.enqueue(QUEUE, jobs, now_ms=world.now)
    world.settle(world.one(), outcome="dead")

    for _ in range(40):
        before = calls(world)
        claim = world.claim(8)
        assert calls(world) - before < 64 * 12 + 200
        assert claim.jobs == []
    check(world)
    assert world.queue().totals["cancelled"] == 2000
    assert world.store.unbury(["parent"]) == 1
    assert leftovers(world) == []


def calls(world: World) -> int:
    """How many commands the server has executed, those of scripts included."""
    return sum(entry["calls"] for entry in world.client.info("commandstats").values())
