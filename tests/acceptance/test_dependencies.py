"""Jobs that wait for other jobs, with real workers: across queues, through retries, deaths and replays."""

from __future__ import annotations

import json
from dataclasses import replace

from queueops import Item, enqueue_many
from queueops.transport.messages import to_job
from tests.support.polling import eventually, stays
from tests.support.stack import Stack

QUEUES = ("critical", "standard", "bulk")
POLICY = {"RETRY_POLICIES": {name: {"base_seconds": 0.2} for name in QUEUES}}


def order(stack: Stack) -> list[str]:
    return [f"{entry.event} {entry.job}" for entry in stack.ledger.entries()]


def test_a_chain_of_three_runs_in_order_across_queues(stack: Stack) -> None:
    stack.worker(pool="threads", concurrency=4, queues=QUEUES)
    first = stack.enqueue("run", "first", 0.3, queue="bulk")
    second = stack.enqueue("run", "second", 0.3, queue="critical", after=first)
    stack.enqueue("run", "third", queue="standard", after=second.id)
    stack.wait_ended("first", "second", "third", within=15)
    stack.wait_empty(*QUEUES)
    assert order(stack) == [
        f"{event} {job}" for job in ("first", "second", "third") for event in ("start", "end")
    ]


def test_a_diamond_waits_for_both_sides(stack: Stack) -> None:
    stack.worker(pool="prefork", concurrency=3, queues=QUEUES)
    task = stack.app.tasks["ledger.hold"]
    enqueue_many(
        task,
        [
            Item(("bottom", "door"), task_id="bottom", after=["left", "right"]),
            Item(("left", "door"), task_id="left", after="top"),
            Item(("right", "wall"), task_id="right", after="top"),
            Item(("top", "door"), task_id="top"),
        ],
    )
    stack.ledger.open("door")
    stack.wait_ended("left")
    stack.wait_started("right")
    stays(lambda: stack.ledger.starts("bottom") == 0, during=1, what="one side is not both")
    stack.ledger.open("wall")
    stack.wait_ended("bottom")
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(["top", "left", "right", "bottom"])
    assert order(stack)[:2] == ["start top", "end top"]


def test_a_child_waits_through_its_parents_retries(stack: Stack) -> None:
    stack.worker(pool="prefork", concurrency=2, settings=POLICY)
    parent = stack.enqueue("fail", "parent", 2)
    stack.enqueue("run", "child", after=parent)
    stack.wait_ended("child", within=15)
    stack.wait_empty()
    assert order(stack) == [
        *["start parent", "error parent"] * 2,
        *["start parent", "end parent", "start child", "end child"],
    ]


def test_a_dead_parent_holds_its_child_until_it_is_replayed(stack: Stack) -> None:
    stack.worker(pool="threads", concurrency=2)
    parent = stack.enqueue("fail_for_good", "parent")
    stack.enqueue("run", "child", after=parent)
    gone = stack.enqueue("run", "gone", after=parent, on_parent_death="cancel")
    [letter] = eventually(stack.dead, within=10, what="the parent's letter")
    eventually(
        lambda: stack.snapshot().totals["cancelled"] == 1, within=10, what="the end of the other child"
    )
    assert (stack.snapshot().blocked, stack.snapshot().ready) == (1, 0)
    with stack.store() as store:
        assert store.job(gone.id) is None
        # A replay, of a task that ends well this time
        message = json.loads(letter.message)
        message["headers"]["task"] = "ledger.run"
        message["properties"]["delivery_tag"] = "replay"
        job = replace(to_job(message, limit=1_000_000, repeated=True), replays=True)
        assert store.enqueue("standard", [job]) == ["ready"]
    stack.wait_ended("parent", "child", within=10)
    stack.wait_empty()
    assert stack.ledger.starts("gone") == 0
