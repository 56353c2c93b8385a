"""The way to the engine fails fast and in our own words."""

from __future__ import annotations

import time

import pytest

from queueops.errors import BrokerUnavailable, ConfigurationError
from queueops.ops import broker
from tests.support import site
from tests.support.valkey import Valkey


def test_a_server_that_hangs_is_reported_within_five_seconds(database: None) -> None:
    server = Valkey()
    try:
        with site.celery_app(server.broker_url):
            server.freeze()
            began = time.monotonic()
            with pytest.raises(BrokerUnavailable, match="does not answer"), broker.store() as store:
                store.queues()
            assert time.monotonic() - began < 5
    finally:
        server.close()


def test_a_server_that_goes_away_in_between_is_reported_too(database: None) -> None:
    server = Valkey()
    with site.celery_app(server.broker_url), pytest.raises(BrokerUnavailable), broker.store() as store:
        assert store.queues() == []
        server.close()
        store.queues()


def test_another_transport_is_refused_with_what_to_write(database: None) -> None:
    with (
        site.celery_app("memory://"),
        pytest.raises(ConfigurationError, match="needs one with queueops://"),
        broker.store(),
    ):
        pass


def test_who_shares_a_connection_opens_one_and_closes_it(database: None) -> None:
    server = Valkey()
    try:
        with site.celery_app(server.broker_url), server.client() as client:

            def opened() -> int:
                return int(client.info("stats")["total_connections_received"])

            before = opened()
            with broker.shared():
                assert opened() == before, "nothing is opened before it is asked for"
                with broker.store() as first:
                    first.queues()
                one = opened() - before
                with broker.store() as second:
                    second.queues()
                assert second is first and opened() - before == one
            with broker.store() as other:
                assert other is not first
    finally:
        server.close()


def test_who_shares_a_connection_is_told_when_the_broker_is_away(database: None) -> None:
    server = Valkey()
    with site.celery_app(server.broker_url), broker.shared():
        with broker.store() as store:
            store.queues()
        server.close()
        with pytest.raises(BrokerUnavailable), broker.store() as store:
            store.queues()
