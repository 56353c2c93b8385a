"""What must not come in is refused at the door, with words that help; what came in broken is a letter."""

from __future__ import annotations

import json

import pytest
from kombu.common import uuid

from queueops.engine.rules.gates import Limits
from queueops.errors import (
    InvalidOrg,
    InvalidPriority,
    InvalidResource,
    LimitInvalid,
    PayloadTooLarge,
    UnknownQueue,
)
from tests.support.polling import eventually
from tests.support.stack import Stack


def test_an_unknown_queue_is_refused_and_the_known_ones_are_named(stack: Stack) -> None:
    with pytest.raises(UnknownQueue) as refused:
        stack.enqueue("run", "a", queue="standrad")
    for known in ("standrad", "critical", "standard", "bulk"):
        assert known in str(refused.value)
    assert stack.is_empty("standard", "critical", "bulk")


@pytest.mark.parametrize("org", ["a:b", "a b", "año", "x" * 129, "a\n", "{acme}", 7])
def test_a_bad_org_name_is_refused(stack: Stack, org: object) -> None:
    with pytest.raises(InvalidOrg, match="1 to 128 characters"):
        stack.app.tasks["ledger.run"].apply_async(("a",), org=org)
    assert stack.is_empty()


def test_an_org_name_may_have_the_full_length_and_every_allowed_character(stack: Stack) -> None:
    for org in ("A.b_c@d-9", "x" * 128):
        stack.enqueue("run", org, org=org)
        with stack.store() as store:
            assert store.org_snapshot("standard", org).ready == 1


def test_a_bad_resource_name_is_refused(stack: Stack) -> None:
    with pytest.raises(InvalidResource, match="1 to 128 characters"):
        stack.enqueue("run", "a", resource="what:sapp")
    assert stack.is_empty()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"priority": 11}, "10"),
        ({"priority": -1}, "0"),
        ({"priority": "soon"}, "10"),
        ({"priority": 0, "scale": "1-10"}, "1"),
        ({"priority": 11, "scale": "1-10"}, "10"),
    ],
)
def test_a_priority_out_of_range_is_refused_with_the_range(
    stack: Stack, options: dict[str, object], named: str
) -> None:
    with pytest.raises(InvalidPriority, match=named):
        stack.enqueue("run", "a", **options)
    assert stack.is_empty()


def test_a_message_over_the_limit_is_refused_and_one_below_it_passes(stack: Stack) -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        stack.enqueue("run", "x" * 300_000)
    assert refused.value.size > refused.value.limit == 262_144
    assert "Store the blob elsewhere" in str(refused.value)
    assert stack.is_empty()
    stack.enqueue("run", "x" * 150_000)
    assert stack.snapshot().ready == 1


@pytest.mark.parametrize(
    "values",
    [
        {"weight": 0},
        {"weight": -1},
        {"weight": float("nan")},
        {"rpm": -1},
        {"rpm": float("inf")},
        {"burst": 0},
        {"max_in_flight": -1},
        {"share": 0},
        {"share": 1.5},
    ],
)
def test_a_bad_limit_is_refused_with_its_name(values: dict[str, float]) -> None:
    with pytest.raises(LimitInvalid, match=next(iter(values)).replace("_", " ")):
        Limits(**values)


def test_messages_that_no_worker_can_run_become_dead_letters_and_hold_nobody_up(stack: Stack) -> None:
    # Given one message of each kind, straight into the queue as a foreign producer would write it
    ids = {kind: uuid() for kind in ("pickle", "broken", "foreign", "shapeless", "unknown", "expired")}

    def headers(kind: str, task: str = "ledger.run") -> dict[str, object]:
        return {"lang": "py", "task": task, "id": ids[kind], "root_id": ids[kind], "retries": 0}

    with stack.app.producer_pool.acquire(block=True) as producer:
        common = {"routing_key": "standard", "exchange": "", "content_encoding": "utf-8"}
        producer.publish(
            b"\x80\x04N.", content_type="application/x-python-serialize", headers=headers("pickle"), **common
        )
        producer.publish(b"[[", content_type="application/json", headers=headers("broken"), **common)
        producer.publish(
            json.dumps({"id": ids["foreign"], "hello": 1}), content_type="application/json", **common
        )
        producer.publish(b'"text"', content_type="application/json", headers=headers("shapeless"), **common)
    stack.app.send_task("ledger.nobody", ["a"], queue="standard", task_id=ids["unknown"])
    stack.enqueue("run", "too late", expires=-1, task_id=ids["expired"])
    stack.enqueue("run", "good")
    # When a worker serves the queue
    worker = stack.worker(pool="prefork", concurrency=1)
    stack.wait_ended("good")
    # Then every bad one lies in the dead stream, whole and with its reason
    eventually(lambda: len(stack.dead()) == len(ids), within=10, what="all of them dead")
    reasons = {entry.task_id: entry.detail["reason"] for entry in stack.dead()}
    assert reasons[ids["pickle"]] == "undecodable"
    assert reasons[ids["broken"]] == "undecodable"
    assert reasons[ids["shapeless"]] == "undecodable"
    assert reasons[ids["unknown"]] == "unknown_task"
    assert reasons[ids["expired"]] == "expired"
    assert all(entry.message for entry in stack.dead())
    assert all(entry.detail["message"] for entry in stack.dead())
    # And nothing of them ran or is left
    stack.ledger.assert_each_ran_once(["good"])
    stack.wait_empty()
    worker.stop()


def test_a_protocol_1_message_runs_once(stack: Stack) -> None:
    """Protocol 1 carries everything in the body; a worker of Celery 5 still takes it, and so does ours."""
    body = {"task": "ledger.run", "id": uuid(), "args": ["old"], "kwargs": {}, "retries": 0, "eta": None}
    with stack.app.producer_pool.acquire(block=True) as producer:
        producer.publish(body, serializer="json", routing_key="standard", exchange="")
    worker = stack.worker(pool="threads", concurrency=1)
    stack.wait_ended("old")
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(["old"])
    assert not stack.dead()
    worker.stop()
