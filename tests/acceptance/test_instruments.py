"""The instruments themselves: a fault that does not happen, or a run that is not counted, proves nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from tests.support.ledger import Ledger
from tests.support.polling import eventually, stays
from tests.support.proxy import Proxy
from tests.support.valkey import Valkey


@pytest.fixture
def proxy(valkey: Valkey) -> Iterator[Proxy]:
    made = Proxy(valkey.port)
    yield made
    made.close()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[redis.Redis]:
    made = redis.Redis.from_url(proxy.url, decode_responses=True, socket_timeout=0.5)
    yield made
    made.close()


def test_a_cut_breaks_the_connection_and_lets_a_new_one_in(proxy: Proxy, client: redis.Redis) -> None:
    before = client.client_id()
    proxy.cut()
    assert client.client_id() != before


def test_cuts_come_again_until_they_are_ended(proxy: Proxy, client: redis.Redis) -> None:
    proxy.cut_every(0.1)
    eventually(lambda: proxy.cuts >= 3, within=3)
    proxy.cut_every(0)
    before = proxy.cuts
    stays(lambda: proxy.cuts == before, during=0.3)


def test_a_refused_connection_is_accepted_again_on_the_same_port(proxy: Proxy, client: redis.Redis) -> None:
    proxy.refuse()
    with pytest.raises(redis.ConnectionError):
        client.ping()
    proxy.accept()
    assert client.ping()


def test_nothing_passes_a_black_hole(proxy: Proxy, client: redis.Redis, valkey: Valkey) -> None:
    client.ping()
    proxy.black_hole()
    with pytest.raises(redis.TimeoutError):
        client.set("a", "1")
    proxy.heal()
    assert valkey.client().get("a") is None
    assert client.ping()


def test_replies_are_delayed(proxy: Proxy, client: redis.Redis) -> None:
    client.ping()
    proxy.delay_replies(0.2)
    before = time.monotonic()
    client.ping()
    assert time.monotonic() - before >= 0.2


def test_a_reply_is_lost_by_what_it_contains(proxy: Proxy, client: redis.Redis) -> None:
    client.set("a", "marked")
    lost = proxy.lose_reply_with(b"marked")
    with pytest.raises(redis.ConnectionError):
        client.get("a")
    assert lost.is_set()
    assert client.get("a") == "marked"


def test_a_reply_is_lost_by_what_was_asked_and_the_server_did_it(proxy: Proxy, client: redis.Redis) -> None:
    lost = proxy.lose_reply_to(b"marked")
    with pytest.raises(redis.ConnectionError):
        client.set("a", "marked")
    assert lost.is_set()
    assert client.get("a") == "marked"


def test_a_killed_server_with_its_file_has_what_it_confirmed(durable_valkey: Valkey) -> None:
    durable_valkey.client().set("a", "1")
    durable_valkey.kill()
    durable_valkey.start()
    assert durable_valkey.client().get("a") == "1"


def test_a_full_server_refuses_what_allocates(valkey: Valkey) -> None:
    valkey.fill()
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        valkey.client().set("a", "1")
    valkey.flush()
    assert valkey.client().set("a", "1")


def test_the_ledger_counts_lost_and_double_runs(ledger_valkey: Valkey) -> None:
    ledger = Ledger(ledger_valkey.url, "instruments")
    with ledger.recorded("once"):
        pass
    ledger.assert_each_ran_once(["once"])
    with pytest.raises(AssertionError, match="lost: 1 of 2"):
        ledger.assert_each_ran_once(["once", "never"])
    ledger.write("start", "once")
    with pytest.raises(AssertionError, match="more than once: 1 of 1"):
        ledger.assert_each_ran_once(["once"])


def test_the_ledger_knows_how_many_ran_side_by_side(ledger_valkey: Valkey) -> None:
    ledger = Ledger(ledger_valkey.url, "side-by-side")
    with ledger.recorded("a"), ledger.recorded("b"):
        pass
    with ledger.recorded("c"):
        pass
    assert ledger.most_at_once() == 2
    assert ledger.most_at_once(lambda entry: entry.job != "b") == 1
