"""What lies in the broker after a publish, and what is refused at the door."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery, signals
from kombu import Queue
from kombu.exceptions import EncodeError

from queueops import Priority, enqueue_many, install
from queueops.errors import (
    BrokerUnavailable,
    ConfigurationError,
    InvalidMessage,
    InvalidPriority,
    NotReplicated,
    UnknownQueue,
)
from tests.middleware.conftest import Bench, Configure
from tests.support.proxy import Proxy
from tests.support.valkey import Valkey


def test_a_plain_task_goes_to_the_default_queue_for_the_default_org_as_normal(bench: Bench) -> None:
    @bench.task
    def plain(x: int) -> None: ...

    before = int(time.time() * 1000)
    result = plain.delay(1)
    sent = bench.one()
    assert (sent.queue, sent.job.org, sent.job.resource, sent.job.task_id) == (
        "standard",
        "default",
        "",
        result.id,
    )
    header = sent.header
    assert before <= header.pop("first") <= time.time() * 1000
    assert header == {"org": "default", "resource": "", "priority": 5}
    assert sent.properties["priority"] == 5
    assert sent.body[:2] == [[1], {}]


def test_every_way_of_publishing_passes_the_same_door(bench: Bench) -> None:
    @bench.task(name="door")
    def door(x: int) -> None: ...

    door.delay(1)
    door.apply_async((2,))
    door.s(3).delay()
    bench.app.send_task("door", (4,))
    bench.app.send_task("elsewhere.task", (5,))
    assert {sent.body[0][0]: sent.header["org"] for sent in bench.claim()} == dict.fromkeys(
        range(1, 6), "default"
    )


@pytest.mark.parametrize(
    ("options", "priority"),
    [
        ({}, 5),
        ({"priority": None}, 5),
        ({"priority": 0}, 0),
        ({"priority": Priority.BULK}, 10),
        ({"priority": "low"}, 8),
        ({"priority": 10, "scale": "1-10"}, 0),
        ({"priority": "LOWEST", "scale": "1-10"}, 10),
    ],
)
def test_the_priority_of_a_call(bench: Bench, options: dict[str, object], priority: int) -> None:
    @bench.task
    def plain() -> None: ...

    plain.apply_async(**options)
    sent = bench.one()
    assert (sent.header["priority"], sent.properties["priority"]) == (priority, priority)


def test_a_task_may_have_a_priority_on_its_own_scale(bench: Bench) -> None:
    with pytest.warns(Warning, match="priority"):

        @bench.task(priority=3, scale="1-10")
        def low() -> None: ...

        low.delay()
    low.apply_async(priority=10)
    assert sorted(sent.header["priority"] for sent in bench.claim()) == [0, 8]
    with pytest.raises(InvalidPriority, match=r"1 \(later\) to 10 \(sooner\)"):
        low.apply_async(priority=0)


@pytest.mark.parametrize(
    "limit",
    ["soon", [1], [1, 2, 3], ["1", None], [None, -1], [True, None], [float("nan"), None], {"hard": 1}],
)
def test_a_time_limit_that_no_pool_understands_is_refused(bench: Bench, limit: object) -> None:
    @bench.task
    def plain() -> None: ...

    with pytest.raises(InvalidMessage, match="timelimit must be two numbers"):
        plain.apply_async(headers={"timelimit": limit})
    assert not bench.claim()


def test_a_queue_with_its_own_patience_sends_it_along(bench: Bench, configure: Configure) -> None:
    configure(QUEUES={"standard": {"patience_ms": {0: 0, 10: 10_000}}})

    @bench.task
    def plain() -> None: ...

    plain.delay()
    sent = bench.one()
    assert sent.header["patience"] == 5_000
    assert sent.job.rank_ms == pytest.approx(sent.header["first"] + 5_000, abs=1_000)


def test_a_deadline_may_be_seconds_a_span_or_a_moment(bench: Bench) -> None:
    @bench.task(deadline=60)
    def urgent() -> None: ...

    now = time.time() * 1000
    urgent.delay()
    urgent.apply_async(deadline=timedelta(hours=1))
    urgent.apply_async(deadline=datetime(2030, 1, 1, tzinfo=UTC))
    urgent.apply_async(deadline=datetime(2030, 1, 1))
    urgent.apply_async(deadline=0)
    headers = [sent.header.get("deadline", 0) for sent in bench.claim()]
    assert 1893456000000 in headers
    assert headers.count(1893456000000) == 2
    assert 0 in headers
    assert any(abs(ms - now - 60_000) < 5_000 for ms in headers)
    assert any(abs(ms - now - 3_600_000) < 5_000 for ms in headers)
    with pytest.raises(ConfigurationError, match="deadline"):
        urgent.apply_async(deadline="soon")


def test_the_run_limit_is_the_calls_the_tasks_or_the_queues(bench: Bench, configure: Configure) -> None:
    configure(QUEUES={"bulk": {"run_limit": 1000}})

    @bench.task
    def plain() -> None: ...

    @bench.task(run_limit=20)
    def short() -> None: ...

    @bench.task(run_limit=None)
    def endless() -> None: ...

    @bench.task(time_limit=7)
    def celerys() -> None: ...

    def limits() -> list[float] | None:
        return bench.one().headers["timelimit"]

    plain.delay()
    assert limits() == [330, 300]
    plain.apply_async(queue="bulk")
    assert limits() == [1030, 1000], "the hard limit is at most 30 s behind"
    plain.apply_async(run_limit=0)
    assert limits() == [None, None]
    plain.apply_async(run_limit=2)
    assert limits() == [3, 2], "and at least one second"
    short.delay()
    assert limits() == [22, 20]
    endless.delay()
    assert limits() == [None, None]
    celerys.delay()
    assert limits() == [7, None], "Celery's own limits are left alone"
    with pytest.raises(ConfigurationError, match="run_limit"):
        plain.apply_async(run_limit=-1)


def test_what_must_not_run_twice_says_so(bench: Bench) -> None:
    @bench.task
    def plain() -> None: ...

    @bench.task(acks_late=False)
    def early() -> None: ...

    @bench.task(delivery="at_most_once")
    def once() -> None: ...

    def is_once() -> bool:
        sent = bench.one()
        assert sent.job.once is sent.header.get("once", False)
        return sent.job.once

    plain.delay()
    assert not is_once()
    early.delay()
    assert is_once()
    once.delay()
    assert is_once()
    once.apply_async(delivery="at_least_once")
    assert not is_once()
    plain.apply_async(delivery="at_most_once")
    assert is_once()
    with pytest.raises(ConfigurationError, match="at_least_once"):
        plain.apply_async(delivery="maybe")


def test_a_project_that_asks_for_early_acknowledgement_keeps_it(valkey: Valkey, bench: Bench) -> None:
    app = bench.make_app(task_acks_late=False)

    @app.task(shared=False)
    def plain() -> None: ...

    plain.delay()
    assert bench.one().job.once
    app.close()


def test_a_message_of_protocol_1_is_refused(bench: Bench) -> None:
    app = bench.make_app(task_protocol=1)

    @app.task(shared=False)
    def plain() -> None: ...

    with pytest.raises(InvalidMessage, match="task_protocol 2"):
        plain.delay()
    app.close()


def test_celerys_own_options_still_reach_the_message(bench: Bench) -> None:
    @bench.task
    def plain() -> None: ...

    plain.apply_async(
        headers={"x-trace": "1"},
        expires=600,
        shadow="other",
        argsrepr="<hidden>",
        retry_policy={"max_retries": 1},
    )
    sent = bench.one()
    assert sent.headers["x-trace"] == "1"
    assert sent.headers["expires"] and sent.headers["shadow"] == "other"
    assert sent.headers["argsrepr"] == "<hidden>"
    assert sent.properties["expiration"] == "600000"
    assert "retry" not in sent.header


def test_long_arguments_are_shown_cut(bench: Bench) -> None:
    @bench.task
    def plain(text: str) -> None: ...

    class Unshown(str):
        def __repr__(self) -> str:
            raise ValueError("no")

    plain.delay("x" * 5_000)
    assert len(bench.one().headers["argsrepr"]) < 1_100
    plain.delay(Unshown("a"))
    assert bench.one().body[0] == ["a"]


def test_publish_signals_see_the_header_and_may_refuse(bench: Bench) -> None:
    @bench.task(name="signalled")
    def signalled() -> None: ...

    seen: list[dict[str, object]] = []

    def receive(headers: dict[str, object], **_: object) -> None:
        seen.append(headers)

    signals.before_task_publish.connect(receive)
    try:
        signalled.delay()
    finally:
        signals.before_task_publish.disconnect(receive)
    assert seen[0]["queueops"]["org"] == "default"  # type: ignore[index]


def test_the_header_of_another_job_hands_only_its_org_on(bench: Bench) -> None:
    @bench.task
    def child() -> None: ...

    parents = {
        "org": "acme",
        "resource": "stripe",
        "priority": 0,
        "deadline": 5,
        "attempts": [{"n": 1}],
        "once": True,
    }
    child.apply_async(headers={"queueops": parents})
    header = bench.one().header
    header.pop("first")
    assert header == {"org": "acme", "resource": "", "priority": 5}


def test_a_call_may_have_its_own_attempts(bench: Bench) -> None:
    from queueops import RetryPolicy

    @bench.task
    def plain() -> None: ...

    plain.apply_async(attempts=7, retry_policy={"base_seconds": 1})
    assert bench.one().header["retry"] == {"base_seconds": 1, "attempts": 7}
    plain.apply_async(retry_policy=RetryPolicy(1, 2, jitter="full"))
    assert bench.one().header["retry"] == {
        "base_seconds": 1,
        "cap_seconds": 2,
        "attempts": 3,
        "jitter": "full",
    }
    with pytest.raises(ConfigurationError, match="attempts"):
        plain.apply_async(attempts=0)


def test_a_broker_that_is_away_is_a_typed_error_within_five_seconds(durable_valkey: Valkey) -> None:
    bench = Bench(durable_valkey)

    @bench.task
    def plain() -> None: ...

    plain.delay()
    durable_valkey.kill()
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="did not take the job"):
        plain.delay()
    assert time.monotonic() - started < 5
    durable_valkey.start()
    plain.delay()


def test_an_unknown_queue_is_refused_and_explicit_queues_of_celery_work(bench: Bench) -> None:
    @bench.task
    def plain() -> None: ...

    with pytest.raises(UnknownQueue, match="Known queues: bulk, critical, standard"):
        plain.apply_async(queue="standrad")
    plain.apply_async(queue=Queue("made.by.hand", routing_key="made.by.hand"))
    assert bench.one("made.by.hand").queue == "made.by.hand"
    bench.app.amqp.queues.select_add("added")
    plain.apply_async(queue="added")
    assert bench.one("added")


def test_a_projects_task_queues_and_default_queue_are_its_own(bench: Bench) -> None:
    app = bench.make_app(task_queues=[Queue("mine"), Queue("other")], task_default_queue="mine")

    @app.task(shared=False)
    def plain() -> None: ...

    plain.delay()
    assert bench.one("mine").queue == "mine"
    assert list(app.amqp.queues.consume_from) == ["mine", "other"]
    with pytest.raises(UnknownQueue, match="Known queues: mine, other"):
        plain.apply_async(queue="standard")
    app.close()


def test_a_plain_celery_project_keeps_its_one_queue(bench: Bench) -> None:
    app = bench.make_app(task_default_queue="celery")
    assert list(app.amqp.queues.consume_from) == ["celery"]
    app.close()


def test_missing_queues_are_made_where_the_project_asks_for_it(bench: Bench) -> None:
    app = bench.make_app(task_create_missing_queues=True)

    @app.task(shared=False)
    def plain() -> None: ...

    plain.apply_async(queue="fresh")
    assert bench.one("fresh")
    app.close()


def test_routes_are_the_call_the_task_celerys_and_then_ours(bench: Bench, configure: Configure) -> None:
    configure(ROUTES={"shop.*": "bulk", "shop.urgent": "critical", "*.routed": "bulk"})
    app = bench.make_app(task_routes={"other.routed": "critical"})

    def send(name: str, **options: object) -> str:
        app.send_task(name, **options)
        return bench.one().queue

    assert send("shop.any") == "bulk"
    assert send("shop.urgent") == "critical", "an exact name comes before a glob"
    assert send("shop.any", queue="critical") == "critical"
    assert send("other.routed") == "critical", "Celery's routes come first"
    assert send("their.routed") == "bulk"
    assert send("nothing.else") == "standard"
    with pytest.warns(Warning, match="queue"):

        @app.task(shared=False, name="shop.own", queue="standard")
        def own() -> None: ...

        app.finalize()
    assert send("shop.own") == "standard"
    app.close()


def test_settings_of_the_project_win_over_ours(valkey: Valkey, bench: Bench) -> None:
    assert bench.app.conf.task_acks_late is True
    assert bench.app.conf.worker_prefetch_multiplier == 1
    theirs = Celery("theirs", broker=valkey.broker_url, set_as_current=False)

    class Settings:
        task_acks_late = False
        worker_prefetch_multiplier = 8
        task_default_queue = "bulk"

    theirs.config_from_object(Settings)
    install(theirs)
    assert theirs.conf.task_acks_late is False
    assert theirs.conf.worker_prefetch_multiplier == 8
    assert theirs.conf.task_default_queue == "bulk"
    assert install(theirs) is theirs, "a second install changes nothing"
    theirs.close()


def test_more_threads_than_producers_publish_side_by_side(bench: Bench) -> None:
    @bench.task
    def plain(x: int) -> None: ...

    limit, before = bench.app.pool.limit, len(bench.client.client_list())
    with ThreadPoolExecutor(3 * limit) as threads:
        list(threads.map(plain.delay, range(600)))
    assert bench.store.queue_snapshot("standard").ready == 600
    assert len(bench.client.client_list()) - before <= 2 * limit
    with bench.app.connection_or_acquire() as connection:
        assert connection.connected or connection.ensure_connection(), "the app's own pool is untouched"


def test_a_forked_process_publishes_on_connections_of_its_own(bench: Bench) -> None:
    @bench.task
    def plain(x: str) -> None: ...

    plain.delay("before")

    def child() -> None:
        for _ in range(20):
            plain.delay("child")

    processes = [multiprocessing.get_context("fork").Process(target=child) for _ in range(2)]
    for process in processes:
        process.start()
    for _ in range(20):
        plain.delay("parent")
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert bench.store.queue_snapshot("standard").ready == 61


def test_a_publish_whose_answer_is_lost_is_tried_again_under_its_tag(bench: Bench) -> None:
    @bench.task
    def plain(x: int) -> None: ...

    proxy = Proxy(bench.valkey.port)
    app = install(Celery("through", broker=proxy.broker_url, set_as_current=False))
    app.send_task(plain.name, (1,), ignore_result=True)
    lost = proxy.lose_reply_to(b"the second")
    app.send_task(plain.name, ("the second",), argsrepr="the second", ignore_result=True)
    assert lost.is_set()
    assert [sent.body[0][0] for sent in bench.claim()] == [1, "the second"], "once each"
    app.close()
    proxy.close()


def test_what_json_cannot_hold_is_celerys_error(bench: Bench) -> None:
    @bench.task
    def plain(x: object) -> None: ...

    with pytest.raises(EncodeError):
        plain.delay(object())


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"x": "1"}, "custom": "property"},
        {"compression": "gzip"},
        {"delivery_mode": 1},
        {"retry": False},
    ],
)
def test_the_long_way_and_the_short_way_send_the_same(bench: Bench, options: dict[str, object]) -> None:
    @bench.task
    def plain(x: int) -> None: ...

    def listen(**_: object) -> None: ...

    plain.apply_async((1,), {}, task_id="same", **options)
    [short] = bench.claim()
    bench.valkey.flush()
    signals.before_task_publish.connect(listen)
    try:
        plain.apply_async((1,), {}, task_id="same", **options)
    finally:
        signals.before_task_publish.disconnect(listen)
    [long] = bench.claim()
    for message in (first := short.message), (second := long.message):
        message["properties"].pop("delivery_tag")
        message["headers"]["queueops"].pop("first")
    assert first == second


def test_a_durable_publish_says_when_no_replica_has_the_job(bench: Bench) -> None:
    @bench.task(durable=True)
    def durable(x: int) -> None: ...

    with pytest.raises(NotReplicated, match="0 of 1 replicas"):
        durable.delay(1)
    assert bench.one().header["durable"] == 1
    durable.apply_async((2,), durable=False)
    assert "durable" not in bench.one().header
    with pytest.raises(NotReplicated) as caught:
        enqueue_many(durable, [((number,), {}) for number in range(3)])
    assert len(caught.value.enqueued) == len(bench.claim()) == 3
    with pytest.raises(ConfigurationError, match="number of replicas"):
        durable.apply_async((3,), durable="yes")
