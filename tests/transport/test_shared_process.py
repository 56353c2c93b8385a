"""A worker's process may hold other consumers too: a task that inspects, a client thread, gevent's pidbox."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import kombu
import pytest

from queueops.engine.rules.gates import Limits
from queueops.engine.store import Store
from queueops.transport import beat, register
from tests.support.polling import eventually
from tests.support.valkey import Valkey

register()


@pytest.fixture
def url(valkey: Valkey) -> str:
    return f"queueops://127.0.0.1:{valkey.port}/0"


@pytest.fixture
def pool(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[kombu.Connection]:
    """A connection whose channel feeds a pool of one slot and claims three jobs ahead of it."""
    with kombu.Connection(url, transport_options={"prefetch": 3}) as made:
        channel = made.default_channel
        monkeypatch.setattr(channel.holder, "slots", 1)
        channel.serves_pool = True
        yield made
        channel.store.release([held.job.token for held in channel.holder.jobs()])
        channel.holder.drop_buffer()
        for held in channel.holder.jobs():
            channel.holder.settle(held.job.token, "cancelled")


def fill(pool: kombu.Connection, taken: list[Any]) -> kombu.Consumer:
    """Publish four jobs, deliver the first and claim the others ahead."""
    for number in range(4):
        pool.Producer().publish(number, exchange="", routing_key="q")
    consumer = pool.Consumer([kombu.Queue("q")], callbacks=[lambda body, message: taken.append(body)])
    consumer.consume()
    pool.drain_events(timeout=2)
    holder, store = pool.default_channel.holder, pool.default_channel.store
    while len(holder.buffer) < 3:
        with pytest.raises(socket.timeout):
            pool.drain_events(timeout=0.2)
    assert (taken, store.queue_snapshot("q").leased) == ([0], 4)
    return consumer


def test_another_consumer_takes_nothing_from_the_workers_buffer(pool: kombu.Connection, url: str) -> None:
    taken: list[Any] = []
    fill(pool, taken)
    with (
        kombu.Connection(url) as other,
        other.Consumer([kombu.Queue("elsewhere")], callbacks=[lambda body, message: taken.append(body)]),
        pytest.raises(socket.timeout),
    ):
        other.drain_events(timeout=0.3)
    assert (taken, len(pool.default_channel.holder.buffer)) == ([0], 3)


def test_what_was_claimed_ahead_from_a_cancelled_queue_goes_back(pool: kombu.Connection) -> None:
    store: Store = pool.default_channel.store
    fill(pool, []).cancel()
    pool.default_channel.holder.give_back_queue("q")
    eventually(lambda: store.queue_snapshot("q").leased == 1, within=5)
    assert store.queue_snapshot("q").ready == 3


def test_a_job_that_arrives_after_its_consumer_was_cancelled_goes_back(pool: kombu.Connection) -> None:
    channel = pool.default_channel
    fill(pool, []).cancel()
    [running] = [held for held in channel.holder.jobs() if held.handed]
    channel.holder.settle(running.job.token, "succeeded")

    assert channel.hand_over() == 0

    assert channel.holder.busy == 0
    eventually(lambda: channel.store.queue_snapshot("q").ready == 3, within=5)


def test_the_end_of_a_limited_job_is_told_at_once_though_no_slot_is_free(
    pool: kombu.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slot is free for other workers only when Redis knows of the end."""
    channel = pool.default_channel
    holder, store = channel.holder, channel.store
    # Without this test's subject the next tick would send it.
    monkeypatch.setattr(beat, "TICK_SECONDS", 60.0)
    store.set_limits("q", {"acme": Limits(max_in_flight=1)})
    for org in ("acme", "globex"):
        pool.Producer().publish(org, exchange="", routing_key="q", headers={"queueops": {"org": org}})
    taken: dict[str, Any] = {}
    monkeypatch.setattr(holder, "slots", 2)
    with pool.Consumer([kombu.Queue("q")], callbacks=[taken.__setitem__]):
        while len(taken) < 2:
            pool.drain_events(timeout=2)
        monkeypatch.setattr(holder, "slots", 1)
        holder.settle(taken["acme"].delivery_tag, "succeeded", 1.0)
        eventually(lambda: store.org_snapshot("q", "acme").in_flight == 0, within=5)
