"""One job at a time for a key: the second enqueue gets the first one's result."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from celery import chord
from celery.result import AsyncResult
from kombu.exceptions import EncodeError

from queueops import Item, enqueue_many
from queueops.errors import ConfigurationError, InvalidMessage, JobExists
from tests.middleware.conftest import Bench, Configure
from tests.support.polling import eventually
from tests.support.proxy import Proxy
from tests.support.valkey import Valkey


@pytest.fixture
def task(bench: Bench) -> Any:
    @bench.task(name="sync")
    def sync(x: Any = None, y: Any = None) -> None: ...

    return sync


def settle(bench: Bench, token: str, outcome: Any = "succeeded") -> None:
    from queueops.engine.types import Settlement

    assert bench.store.settle([Settlement(token, outcome)]) == ["settled"]


def test_a_second_enqueue_gets_the_result_of_the_job_that_is_there(bench: Bench, task: Any) -> None:
    first = task.apply_async((1,), unique_key="a")
    second = task.apply_async((2,), unique_key="a")
    assert isinstance(second, AsyncResult)
    assert second.id == first.id
    assert task.apply_async(unique_key="b").id != first.id
    assert bench.store.queue_snapshot("standard").ready == 2
    # Also while it runs, and no longer when it has ended
    [one, _] = bench.claim()
    assert one.job.task_id == first.id
    assert task.apply_async(unique_key="a").id == first.id
    settle(bench, one.job.token)
    assert task.apply_async(unique_key="a").id != first.id


def test_unique_means_the_same_arguments_as_they_were_sent(bench: Bench, task: Any) -> None:
    ids = [
        task.apply_async(args, kwargs, unique=True).id
        for args, kwargs in [
            ((1, {"a": 1, "b": 2}), {}),
            ((1, {"b": 2, "a": 1}), {}),
            (("1", {"a": 1, "b": 2}), {}),
            ((), {"x": 1}),
            ((), {"x": 1}),
            ((), {"y": 1}),
            ((), {}),
        ]
    ]
    assert ids[0] == ids[1]
    assert ids[3] == ids[4]
    assert len(set(ids)) == 5


def test_a_key_belongs_to_one_org_and_one_task(bench: Bench, task: Any) -> None:
    @bench.task(name="other")
    def other() -> None: ...

    ids = {
        task.apply_async(unique_key="a", org="acme").id,
        task.apply_async(unique_key="a", org="apex").id,
        task.apply_async(unique_key="a").id,
        other.apply_async(unique_key="a").id,
        # and to all queues
        task.apply_async(unique_key="a", queue="bulk").id,
    }
    assert len(ids) == 4


def test_a_task_says_it_for_all_its_jobs_and_a_call_may_say_otherwise(bench: Bench) -> None:
    @bench.task(unique=True)
    def always(x: int) -> None: ...

    @bench.task(unique_key=lambda args, kwargs: f"order-{args[0]}" if args[0] else None)
    def by_order(order: int, note: str = "") -> None: ...

    assert always.delay(1).id == always.delay(1).id != always.delay(2).id
    assert always.apply_async((1,), unique=False).id != always.delay(1).id
    assert always.apply_async((1,), unique_key="k").id == always.apply_async((2,), unique_key="k").id
    assert by_order.delay(1, "a").id == by_order.delay(1, "b").id
    assert by_order.delay(0).id != by_order.delay(0).id
    assert by_order.apply_async((1,), unique=False).id != by_order.delay(1).id


def test_a_key_may_hold_for_a_time_of_its_own(bench: Bench, task: Any) -> None:
    first = task.apply_async(unique_key="a", unique_for=timedelta(seconds=2))
    settle(bench, bench.one().job.token)
    assert task.apply_async(unique_key="a").id == first.id, "it outlives the job"
    eventually(
        lambda: task.apply_async(unique_key="a", unique_for=0.5).id != first.id, within=15, what="its end"
    )


def test_a_retry_keeps_the_key_and_does_not_take_it_again(bench: Bench, configure: Configure) -> None:
    configure(RETRY_POLICIES={"standard": {"base_seconds": 0.01}})

    @bench.task(name="failing", unique=True)
    def failing() -> None:
        raise RuntimeError("no")

    first = failing.delay()
    bench.run(bench.one())
    assert bench.store.queue_snapshot("standard").scheduled == 1
    assert failing.delay().id == first.id
    again = eventually(bench.claim, within=5, what="the next attempt")[0]
    assert again.job.attempt == 1
    assert again.header["unique"]
    assert failing.delay().id == first.id


def test_eight_publishers_at_once_make_one_job(bench: Bench, task: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda n: task.apply_async((n,), unique_key="a").id, range(200)))
    assert len(ids) == 1
    assert bench.store.queue_snapshot("standard").ready == 1
    assert bench.store.queue_snapshot("standard").totals["existing"] == 199
    assert bench.store.existing() == {task.name: 199}


def test_a_publish_that_is_tried_again_is_not_a_second_one(valkey: Valkey) -> None:
    proxy = Proxy(valkey.port)
    try:
        bench = Bench(valkey)
        bench.app = bench.make_app(broker_url=f"queueops://127.0.0.1:{proxy.port}/0")

        @bench.task(name="sync")
        def sync() -> None: ...

        sync.apply_async(unique_key="warm")
        lost = proxy.lose_reply_to(b"EVALSHA")
        result = sync.apply_async(unique_key="a", task_id="mine")
        assert lost.is_set()
        assert result.id == "mine"
        assert bench.store.queue_snapshot("standard").ready == 2
        bench.close()
    finally:
        proxy.close()


def test_many_at_once_tell_which_jobs_were_there(bench: Bench, task: Any) -> None:
    there = task.apply_async(unique_key="a").id
    sent = enqueue_many(
        task,
        [
            Item((0,)),
            Item((1,), unique_key="a"),
            Item((2,), unique_key="b", task_id="mine"),
            Item((3,), unique_key="b"),
        ],
    )
    assert sent.existing == {1: there, 3: "mine"}
    assert sent == [sent[0], there, "mine", "mine"]
    assert sent.new == [sent[0], "mine"]
    assert bench.store.queue_snapshot("standard").ready == 3
    assert enqueue_many(task, [((1,), {})] * 1_200, unique=True).existing.keys() == set(range(1, 1_200))


def test_what_makes_no_sense_is_said(bench: Bench, task: Any) -> None:
    for options in ({"unique_key": ""}, {"unique_key": 7}, {"unique": True, "unique_for": -1}):
        with pytest.raises(ConfigurationError, match="unique_"):
            task.apply_async(**options)
    with pytest.raises(EncodeError):
        task.apply_async((object(),), unique=True)

    @bench.task(name="body")
    def body(results: Any) -> None: ...

    with pytest.raises(InvalidMessage, match="chord"):
        bench.app.conf.result_backend = "cache+memory://"
        chord([task.s(1).set(unique=True), task.s(2)])(body.s())


def test_a_publisher_of_its_own_messages_sees_the_refusal(bench: Bench, task: Any) -> None:
    first = task.apply_async(unique_key="a", task_id="first")
    with bench.app.producer_pool.acquire(block=True) as producer:
        message = bench.app.amqp.as_task_v2("second", task.name)
        with pytest.raises(JobExists, match="first") as refused:
            bench.app.amqp.send_task_message(producer, task.name, message, unique_key="a")
    assert (refused.value.task_id, refused.value.refused) == (first.id, "second")
