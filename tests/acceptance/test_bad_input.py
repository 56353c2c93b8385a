"""What must not come in is refused at the door, with words that help; what came in broken is a letter."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from queueops.engine.rules.gates import Limits
from queueops.errors import (
    InvalidMessage,
    InvalidOrg,
    InvalidPriority,
    InvalidResource,
    LimitInvalid,
    PayloadTooLarge,
    UnknownQueue,
)
from tests.support.factories import new_message
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
    # Given one message of each kind, as foreign producers would write it
    task = {"lang": "py", "task": "ledger.run", "retries": 0}
    bodies: dict[str, tuple[object, str, dict[str, object]]] = {
        "pickle": (b"\x80\x04N.", "application/x-python-serialize", task),
        "not JSON": (b"[[", "application/json", task),
        "text": ('"text"', "application/json", task),
        "two parts": ("[[1], {}]", "application/json", task),
        "args not a list": ('[1, {}, {"chain": null}]', "application/json", task),
        "null": ("null", "application/json", task),
        "no id": ("[[1], {}, {}]", "application/json", {**task, "id": None}),
        "bad expiry": ("[[1], {}, {}]", "application/json", {**task, "expires": "soon"}),
        "text as limit": ('[["limited"], {}, {}]', "application/json", {**task, "timelimit": ["soon", None]}),
        "one limit": ('[["limited"], {}, {}]', "application/json", {**task, "timelimit": [1]}),
    }
    foreign: list[str] = []
    with stack.app.producer_pool.acquire(block=True) as producer:
        common = {"routing_key": "standard", "exchange": "", "content_encoding": "utf-8"}
        for kind, (body, content_type, headers) in bodies.items():
            sent = {"id": kind, "root_id": kind, **headers}
            if sent["id"] is None:
                del sent["id"]
            if "timelimit" in sent:
                # Ours is refused at the publish; another producer's lies in the list of stock.
                with pytest.raises(InvalidMessage, match="timelimit"):
                    producer.publish(body, content_type=content_type, headers=sent, **common)
                foreign.append(stock_message(body, sent))
                continue
            producer.publish(body, content_type=content_type, headers=sent, **common)
        # Protocol 1 carries everything in the body.
        old = {"task": "ledger.run", "id": "protocol 1", "args": ["a"], "kwargs": {}, "retries": 0}
        producer.publish(old, serializer="json", routing_key="standard", exchange="")
    broker = stack.broker.client()
    broker.lpush("standard", "no JSON at all", "[]", '{"body": "x"}', json.dumps(not_base64()), *foreign)
    stack.app.send_task("ledger.nobody", ["a"], queue="standard", task_id="unknown")
    stack.enqueue("run", "too late", expires=0.001, task_id="expired")
    stack.enqueue("run", "good")
    # When a worker serves the queue
    stack.worker(pool="prefork", concurrency=1)
    stack.wait_ended("good")
    # Then every bad one lies in the dead stream, whole and with its reason
    count = len(bodies) + 1 + 4 + 2
    eventually(lambda: len(stack.dead()) == count, within=30, what="all of them dead")
    reasons = {entry.task_id: entry.detail["reason"] for entry in stack.dead()}
    assert (reasons.pop("unknown"), reasons.pop("expired")) == ("unknown_task", "expired")
    assert set(reasons.values()) == {"undecodable"}
    # What stock's list held was never a job of ours, so its head has only the tag that adoption made.
    assert set(bodies) - {"no id", "text as limit", "one limit"} <= set(reasons)
    assert sum("timelimit" in entry.detail["message"] for entry in stack.dead()) == 2
    assert all(entry.message and entry.detail["message"] for entry in stack.dead())
    assert any("protocol 2" in entry.detail["message"] for entry in stack.dead())
    # And nothing of them ran or is left
    stack.ledger.assert_each_ran_once(["good"])
    stack.wait_empty()


def stock_message(body: object, headers: dict[str, object]) -> str:
    """A message as stock Celery writes it into the list of its queue."""
    message = json.loads(new_message("ledger.run", task_id=str(headers["id"])))
    message["headers"] = headers
    return json.dumps({**message, "body": b64encode(str(body).encode()).decode()})


def not_base64() -> dict[str, object]:
    """A message whose body is not in the encoding that it names."""
    message: dict[str, object] = json.loads(new_message("ledger.run", ["a"], task_id="not base64"))
    return {**message, "body": "x"}
