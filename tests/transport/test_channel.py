"""The transport as any kombu user sees it, on a real server."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import kombu
import pytest
from kombu.exceptions import OperationalError

from queueops.engine.store import Store
from queueops.errors import InvalidOrg, PayloadTooLarge, StaleLease
from queueops.transport import register
from queueops.transport.messages import new_tag
from tests.support.polling import eventually
from tests.support.valkey import Valkey

register()


@pytest.fixture
def connection(valkey: Valkey) -> Iterator[kombu.Connection]:
    with kombu.Connection(f"queueops://127.0.0.1:{valkey.port}/0") as made:
        yield made


@pytest.fixture
def store(connection: kombu.Connection) -> Store:
    made: Store = connection.default_channel.store
    return made


def publish(connection: kombu.Connection, queue: str, body: Any, **options: Any) -> None:
    connection.Producer().publish(body, exchange="", routing_key=queue, **options)


def test_a_message_keeps_its_body_headers_and_properties(connection: kombu.Connection) -> None:
    publish(connection, "q", {"a": "ü"}, headers={"x": 1}, correlation_id="c1")
    message = connection.default_channel.basic_get("q")
    assert (message.payload, message.headers["x"], message.properties["correlation_id"]) == (
        {"a": "ü"},
        1,
        "c1",
    )
    message.ack()


def test_depth_is_the_length_of_the_list_named_after_the_queue(
    connection: kombu.Connection, valkey: Valkey
) -> None:
    for number in range(3):
        publish(connection, "q", number)
    assert valkey.client().llen("q") == 3
    connection.default_channel.basic_get("q").ack()
    assert valkey.client().llen("q") == 2


def test_a_message_is_leased_until_it_is_acknowledged(connection: kombu.Connection, store: Store) -> None:
    publish(connection, "q", 1)
    message = connection.default_channel.basic_get("q")
    assert store.queue_snapshot("q").leased == 1
    message.ack()
    assert store.queue_snapshot("q").leased == 0


def test_a_requeued_message_keeps_its_place(connection: kombu.Connection) -> None:
    for number in (1, 2):
        publish(connection, "q", number)
    connection.default_channel.basic_get("q").requeue()
    assert [connection.default_channel.basic_get("q").payload for _ in range(2)] == [1, 2]


def test_a_rejected_message_is_a_dead_letter(connection: kombu.Connection, store: Store) -> None:
    publish(connection, "q", {"n": 7})
    connection.default_channel.basic_get("q").reject()
    [letter] = store.dead_read()
    assert letter.detail["reason"] == "rejected"
    assert json.loads(letter.message)["properties"]["delivery_info"]["routing_key"] == "q"


def test_a_consumer_gets_no_more_than_its_prefetch_count(connection: kombu.Connection) -> None:
    for number in range(5):
        publish(connection, "q", number)
    taken: list[Any] = []
    with connection.Consumer(
        kombu.Queue("q"), callbacks=[lambda _body, message: taken.append(message)]
    ) as consumer:
        consumer.qos(prefetch_count=2)
        for _ in range(2):
            connection.drain_events(timeout=2)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.3)
        taken[0].ack()
        connection.drain_events(timeout=2)
    assert len(taken) == 3


def test_a_closed_consumer_gives_back_what_it_did_not_acknowledge(valkey: Valkey, store: Store) -> None:
    with kombu.Connection(f"queueops://127.0.0.1:{valkey.port}/0") as other:
        publish(other, "q", 1)
        with other.Consumer(kombu.Queue("q"), callbacks=[lambda _body, _message: None]):
            other.drain_events(timeout=2)
            assert store.queue_snapshot("q").leased == 1
    eventually(lambda: store.queue_snapshot("q").ready == 1, within=5)


def test_a_consumer_that_does_not_acknowledge_leaves_no_lease(
    connection: kombu.Connection, store: Store
) -> None:
    publish(connection, "q", 1)
    got: list[Any] = []
    with connection.Consumer(
        kombu.Queue("q"), callbacks=[lambda body, _message: got.append(body)], no_ack=True
    ):
        connection.drain_events(timeout=2)
    assert got == [1]
    assert (store.queue_snapshot("q").leased, store.queue_snapshot("q").ready) == (0, 0)


def test_an_idle_consumer_is_woken_by_a_publish(valkey: Valkey, connection: kombu.Connection) -> None:
    got: list[Any] = []

    def take(body: Any, message: Any) -> None:
        got.append(body)
        message.ack()

    with connection.Consumer(kombu.Queue("q"), callbacks=[take]):
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.2)
        with kombu.Connection(f"queueops://127.0.0.1:{valkey.port}/0") as other:
            publish(other, "q", "hello")
        connection.drain_events(timeout=2)
    assert got == ["hello"]


def test_a_message_with_an_eta_waits_in_the_broker(connection: kombu.Connection, store: Store) -> None:
    due = datetime.now(UTC) + timedelta(hours=1)
    publish(connection, "q", 1, headers={"eta": due.isoformat()})
    assert store.queue_snapshot("q").scheduled == 1
    assert connection.default_channel.basic_get("q") is None


def test_the_eta_that_has_passed_is_hidden_from_the_worker(connection: kombu.Connection) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    publish(connection, "q", 1, headers={"eta": past})
    message = connection.default_channel.basic_get("q")
    assert (message.headers["eta"], message.properties["queueops_eta"]) == (None, past)


def test_the_same_publish_sent_twice_is_one_job(connection: kombu.Connection, store: Store) -> None:
    channel = connection.default_channel
    message = channel.prepare_message("e30=", content_type="application/json", content_encoding="utf-8")
    channel.basic_publish(dict(message), "", "q")
    channel.basic_publish(dict(message), "", "q")
    assert store.queue_snapshot("q").ready == 1


def test_the_same_publish_after_a_quick_run_is_still_one_job(
    connection: kombu.Connection, store: Store
) -> None:
    channel = connection.default_channel
    message = channel.prepare_message("e30=", content_type="application/json", content_encoding="utf-8")
    channel.basic_publish(dict(message), "", "q")
    channel.basic_get("q").ack()
    channel.basic_publish(dict(message), "", "q")
    assert store.queue_snapshot("q").ready == 0


def test_a_retry_whose_lease_was_lost_is_refused(connection: kombu.Connection, store: Store) -> None:
    with pytest.raises(StaleLease):
        publish(connection, "q", 1, queueops_supersedes="nobody/1/1")
    assert store.queue_snapshot("q").ready == 0


def test_a_large_message_is_refused_with_its_size(connection: kombu.Connection) -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        publish(connection, "q", "x" * 300_000)
    assert refused.value.limit == 262_144
    assert "Store the blob elsewhere" in str(refused.value)


def test_a_bad_org_is_refused(connection: kombu.Connection) -> None:
    with pytest.raises(InvalidOrg):
        publish(connection, "q", 1, headers={"queueops": {"org": "a:b"}})


def test_fanout_still_reaches_every_subscriber(connection: kombu.Connection) -> None:
    exchange = kombu.Exchange("news", type="fanout")
    got: list[tuple[str, Any]] = []

    def into(name: str) -> Any:
        return lambda body, _message: got.append((name, body))

    one = connection.Consumer(kombu.Queue("n1", exchange), callbacks=[into("n1")], no_ack=True)
    two = kombu.Consumer(
        connection.channel(), kombu.Queue("n2", exchange), callbacks=[into("n2")], no_ack=True
    )

    def drain() -> int:
        with suppress(TimeoutError):
            connection.drain_events(timeout=0.1)
        return len(got)

    with one, two:
        for _ in range(4):
            drain()  # the answers to the subscriptions
        connection.Producer().publish("hi", exchange=exchange)
        eventually(lambda: drain() == 2, within=5)
    assert sorted(got) == [("n1", "hi"), ("n2", "hi")]


def test_replies_to_remote_control_stay_on_a_list_that_expires(
    connection: kombu.Connection, valkey: Valkey
) -> None:
    name = "0a.reply.celery.pidbox"
    publish(connection, name, {"ok": 1})
    assert valkey.client().llen(name) == 1
    assert 0 < valkey.client().pttl(name) <= 60_000


def test_the_url_is_shown_as_redis_without_its_password() -> None:
    shown = kombu.Connection("queueops://:secret@127.0.0.1:1/2").as_uri()
    assert shown == "redis://:**@127.0.0.1:1/2"


def test_a_failover_url_keeps_the_transport() -> None:
    connection = kombu.Connection("queueops://127.0.0.1:1/0;queueops://127.0.0.1:2/0")
    connection.maybe_switch_next()
    assert connection.transport.driver_name == "queueops"


def test_tls_is_verified_and_a_plain_server_is_refused(valkey: Valkey) -> None:
    connection = kombu.Connection(f"queueopss://127.0.0.1:{valkey.port}/0")
    assert connection.transport.client.ssl["ssl_cert_reqs"] == ssl.CERT_REQUIRED
    with pytest.raises(OperationalError), connection as opened:
        opened.ensure_connection(max_retries=1)


def test_tags_rise_also_within_a_millisecond() -> None:
    tags = [new_tag() for _ in range(10_000)]
    assert tags == sorted(set(tags))
    assert {tag[14] for tag in tags} == {"7"}
