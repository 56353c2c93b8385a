"""The lease thread against a real broker: what goes back, and what a refusal must not hold up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from queueops.engine.store import STEP, Store
from queueops.transport.beat import LeaseThread
from queueops.transport.holder import Holder
from queueops.transport.outbox import GivenBack
from tests.support.factories import new_job
from tests.support.polling import eventually
from tests.support.valkey import Valkey


@pytest.fixture
def store(valkey: Valkey) -> Store:
    return Store(valkey.client(decode_responses=False))


@pytest.fixture
def holder() -> Holder:
    made = Holder()
    made.slots = 1
    return made


@pytest.fixture
def thread(store: Store, holder: Holder) -> Iterator[LeaseThread]:
    made = LeaseThread(holder, store, heartbeat=60.0, version="0")
    yield made
    made.stop()


def claim(store: Store, holder: Holder, count: int) -> list[str]:
    """Claim jobs ahead into the holder's buffer; their tokens."""
    store.enqueue("q", [new_job() for _ in range(count)])
    jobs = []
    while len(jobs) < count:
        number = holder.open_claim()
        found = store.claim(["q"], 0, count - len(jobs), holder.name, number).jobs
        holder.close_claim(number, found)
        jobs += found
    holder.buffer.extend(jobs)
    return [job.token for job in jobs]


def test_what_goes_back_alike_goes_together(
    store: Store, holder: Holder, thread: LeaseThread, valkey: Valkey
) -> None:
    """A batch of thousands that went back one by one would keep the thread from renewing what runs."""
    tokens = claim(store, holder, 2 * STEP)
    holder.buffer.clear()
    for token in tokens:
        holder.outbox.give_back(GivenBack(token))
    before = _scripts(valkey)
    thread.stop()
    assert store.queue_snapshot("q").ready == 2 * STEP
    assert _scripts(valkey) - before < 10


def test_a_refused_renewal_holds_up_no_job(
    store: Store, holder: Holder, thread: LeaseThread, valkey: Valkey
) -> None:
    # Given a worker that has come back to its broker, whose answer to a renewal is a refusal
    tokens = claim(store, holder, 2)
    running = holder.buffer.popleft().token
    assert holder.hand(running)
    holder.started(running, 0.0)  # long ago: a renewal charges its org
    holder.in_doubt = True
    # When it asks
    valkey.client().set(store.key("queue", queue="q"), "broken")
    thread.start()
    # Then what has not started goes to others, and the next job may be handed over
    eventually(lambda: not holder.in_doubt, within=5)
    assert thread.refused
    assert [token for token in tokens if token in holder.running()] == [running]


def _scripts(valkey: Valkey) -> int:
    return int(valkey.client().info("commandstats")["cmdstat_evalsha"]["calls"])
