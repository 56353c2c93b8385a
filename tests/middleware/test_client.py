"""Many jobs in one call: the same messages as one by one, for a fraction of the time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count, islice
from typing import Any

import pytest
from celery import Celery, signals

from queueops import Envelope, Item, Middleware, enqueue_many, install, org_context
from queueops.errors import (
    BrokerUnavailable,
    ConfigurationError,
    InvalidOrg,
    PayloadTooLarge,
    UnknownQueue,
)
from tests.middleware.conftest import Bench, Configure
from tests.support.ports import HOST, free_port
from tests.support.valkey import Valkey


@pytest.fixture
def task(bench: Bench) -> Any:
    @bench.task(name="many", resource="stripe")
    def many(x: Any, y: Any = None) -> None: ...

    return many


#: Differ from one message to the next, however they were sent.
OWN = ("id", "root_id")


def comparable(message: dict[str, Any]) -> dict[str, Any]:
    headers = {key: value for key, value in message["headers"].items() if key not in OWN}
    headers["queueops"] = {**headers["queueops"], "first": 0}
    properties = {**message["properties"], "correlation_id": "", "delivery_tag": ""}
    # Celery counts it from the moment of the publish.
    properties.pop("expiration", None)
    return {**message, "headers": headers, "properties": properties}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"org": "acme", "queue": "bulk", "priority": 1},
        {"headers": {"x-trace": "100%"}, "shadow": "other %s", "expires": datetime(2050, 1, 1, tzinfo=UTC)},
        {"compression": "gzip"},
        {"ignore_result": False, "time_limit": 5, "delivery": "at_most_once", "attempts": 9},
        {"custom": "property"},
    ],
)
@pytest.mark.parametrize(
    "args", [(1,), ('é%s"\\ \x00',), ([Decimal("1.5"), datetime(2020, 1, 1, tzinfo=UTC)],)]
)
def test_a_message_is_the_one_that_apply_async_sends(
    bench: Bench, task: Any, args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    task.apply_async(args, {"y": 2}, **options)
    single = bench.one()
    ids = enqueue_many(task, [Item(args, {"y": 2}), (args, {"y": 2})], **options)
    first, second = bench.claim()
    assert [first.job.task_id, second.job.task_id] == ids
    for sent in (first, second):
        assert comparable(sent.message) == comparable(single.message)
        assert (
            sent.headers["id"]
            == sent.headers["root_id"]
            == sent.properties["correlation_id"]
            == sent.job.task_id
        )
        for name in ("org", "resource", "task", "once", "run_limit_ms", "limited", "queue"):
            assert getattr(sent.job, name) == getattr(single.job, name), name


def test_each_item_has_its_own_org_resource_priority_and_id(bench: Bench, task: Any) -> None:
    items = [
        Item((1,), org="a", priority=0, deadline=60, task_id="my-id"),
        Item((2,), org="b", resource="afip", priority="bulk"),
        Item((3,)),
    ]
    with org_context("ambient"):
        ids = enqueue_many(task, items)
    assert ids[0] == "my-id"
    found = {sent.body[0][0]: sent for sent in bench.claim()}
    assert {
        x: (s.job.org, s.job.resource, s.header["priority"], s.properties["priority"])
        for x, s in found.items()
    } == {
        1: ("a", "stripe", 0, 0),
        2: ("b", "afip", 10, 10),
        3: ("ambient", "stripe", 5, 5),
    }
    assert found[1].header["deadline"] > time.time() * 1000
    assert "deadline" not in found[3].header


def test_an_eta_waits_in_the_broker(bench: Bench, task: Any) -> None:
    enqueue_many(task, [Item((n,)) for n in range(3)], countdown=3600)
    enqueue_many(task, [Item((n,)) for n in range(2)], eta=datetime.now(UTC) + timedelta(hours=1))
    assert bench.store.queue_snapshot("standard").scheduled == 5
    assert not bench.claim()


def test_a_task_that_this_process_does_not_know_is_sent_by_its_name(bench: Bench) -> None:
    enqueue_many("their.task", [((1,), {})], app=bench.app, queue="critical")
    assert bench.one("critical").headers["task"] == "their.task"


def test_children_of_a_running_task_have_its_org_and_root(bench: Bench, task: Any) -> None:
    @bench.task(name="fan.out")
    def fan_out() -> None:
        enqueue_many(task, [Item((n,)) for n in range(3)])

    result = fan_out.apply_async(org="acme")
    bench.run(bench.one())
    sent = bench.claim()
    assert len(sent) == 3
    assert {(s.job.org, s.headers["root_id"], s.headers["parent_id"]) for s in sent} == {
        ("acme", result.id, result.id)
    }


class ByArgument(Middleware):
    """Sends even numbers elsewhere and marks every third message in a header of its own."""

    def before_publish(self, envelope: Envelope) -> None:
        if envelope.args[0] < 0:
            envelope.queue = "nowhere"
        elif envelope.args[0] % 2 == 0:
            envelope.queue = "bulk"
        if envelope.args[0] % 3 == 0:
            envelope.headers["x-third"] = envelope.args[0]
            envelope.header["note"] = "%s"


def test_members_may_change_single_items(bench: Bench, task: Any, configure: Configure) -> None:
    configure(MIDDLEWARE=["queueops.middleware.org.Org", f"{__name__}.ByArgument"])
    ids = enqueue_many(task, [Item((n,)) for n in range(12)])
    found = {sent.body[0][0]: sent for sent in bench.claim()}
    assert [found[n].job.task_id for n in range(12)] == ids
    for n, sent in found.items():
        assert sent.queue == ("standard" if n % 2 else "bulk")
        assert sent.headers.get("x-third") == (None if n % 3 else n)
        assert sent.header.get("note") == (None if n % 3 else "%s")
        assert sent.properties["delivery_info"]["routing_key"] == sent.queue
    with pytest.raises(UnknownQueue):
        enqueue_many(task, [Item((1,)), Item((-1,))])
    assert not bench.claim()


def test_publish_signals_are_not_sent(bench: Bench, task: Any) -> None:
    def refuse(**_: object) -> None:
        raise AssertionError("a signal was sent")

    signals.before_task_publish.connect(refuse)
    signals.after_task_publish.connect(refuse)
    try:
        enqueue_many(task, [Item((1,)), Item((2,))])
    finally:
        signals.before_task_publish.disconnect(refuse)
        signals.after_task_publish.disconnect(refuse)
    assert len(bench.claim()) == 2


def test_nothing_to_enqueue_is_nothing(task: Any) -> None:
    assert enqueue_many(task, []) == []


def test_a_generator_is_taken_in_steps_and_more_than_a_step_arrives(bench: Bench, task: Any) -> None:
    ids = enqueue_many(task, (Item((n,), org=f"org{n % 7}") for n in islice(count(), 2_300)))
    assert len(set(ids)) == 2_300
    assert bench.store.queue_snapshot("standard").ready == 2_300


def test_a_mistake_names_itself_and_what_was_enqueued_before_it(bench: Bench, task: Any) -> None:
    with pytest.raises(UnknownQueue):
        enqueue_many(task, [Item((1,))], queue="nowhere")
    with pytest.raises(TypeError):
        enqueue_many(task, [Item((1,)), Item((1, 2, 3))])
    with pytest.raises(TypeError, match="list or tuple"):
        enqueue_many(task, [Item((1,)), Item("text")])
    with pytest.raises(InvalidOrg):
        enqueue_many(task, [Item((1,), org="a"), Item((1,), org="a b")])
    assert not bench.claim(), "a chunk with a mistake is not enqueued at all"
    items = [*(Item((n,)) for n in range(1_000)), Item(("x" * 300_000,))]
    with pytest.raises(PayloadTooLarge) as refused:
        enqueue_many(task, items)
    assert len(refused.value.enqueued) == bench.store.queue_snapshot("standard").ready == 1_000


def test_a_broker_that_goes_away_in_between_tells_what_it_had_confirmed(durable_valkey: Valkey) -> None:
    bench = Bench(durable_valkey)

    @bench.task
    def plain(x: int) -> None: ...

    def items() -> Iterator[Item]:
        for n in range(3_000):
            if n == 2_100:
                durable_valkey.kill()
            yield Item((n,))

    with pytest.raises(BrokerUnavailable) as away:
        enqueue_many(plain, items())
    durable_valkey.start()
    enqueued = away.value.enqueued
    assert 1_000 <= len(enqueued) <= 2_000
    assert len(enqueued) % 500 == 0
    assert bench.store.queue_snapshot("standard").ready in (len(enqueued), len(enqueued) + 500)


def test_a_broker_that_is_away_is_a_typed_error(durable_valkey: Valkey) -> None:
    bench = Bench(durable_valkey)

    @bench.task
    def plain(x: int) -> None: ...

    plain.delay(1)
    durable_valkey.kill()
    with pytest.raises(BrokerUnavailable):
        enqueue_many(plain, [Item((1,))])


def test_a_broker_that_never_was_there_is_refused_at_once() -> None:
    app = install(Celery("nowhere", broker=f"queueops://{HOST}:{free_port()}/0", set_as_current=False))
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable) as refused:
        enqueue_many("any", [Item((1,))], app=app)
    with pytest.raises(BrokerUnavailable):
        app.send_task("any", (1,))
    assert time.monotonic() - started < 5
    assert refused.value.enqueued == ()
    app.close()


def test_an_app_without_queueops_is_refused(valkey: Valkey) -> None:
    app = Celery("plain", broker=valkey.url, set_as_current=False)
    with pytest.raises(ConfigurationError, match="install"):
        enqueue_many("any", [Item((1,))], app=app)
