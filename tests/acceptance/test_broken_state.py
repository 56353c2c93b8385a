"""Something in the broker is not what the scripts expect: a key of a wrong type, a disk that is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.polling import eventually, stays
from tests.support.stack import LEASE_SECONDS, Stack


@contextmanager
def broken(stack: Stack, name: str) -> Iterator[None]:
    """The key ``name`` is of a wrong type, as somebody's other program leaves it; then it is mended."""
    client = stack.broker.client()
    client.rename(name, f"{name}:aside")
    client.set(name, "broken")
    try:
        yield
    finally:
        client.rename(f"{name}:aside", name)


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_a_script_that_fails_ends_no_worker_and_no_lease(stack: Stack, pool: str) -> None:
    # Given a worker with a job in hand and another one that would take it over
    worker = stack.worker(pool=pool, concurrency=2)
    stack.enqueue("hold", "long", "door")
    stack.wait_started("long")
    heir = stack.worker(pool="threads", concurrency=1)
    with stack.store() as store:
        queue = store.key("queue", queue="standard")
    # When every claim, renewal and reap of the queue fails for longer than a lease
    with broken(stack, queue):
        stays(lambda: worker.alive() and heir.alive(), during=LEASE_SECONDS + 2)
        assert stack.ledger.starts("long") == 1
    # Then both go on where they were
    after = [f"after-{number}" for number in range(4)]
    for job in after:
        stack.enqueue("run", job)
    stack.wait_ended(*after, within=20)
    stack.ledger.open("door")
    stack.wait_ended("long")
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(["long", *after])
    # And it was said once, with the place in the script
    for log in (worker.log(), heir.log()):
        assert log.count("refuses to give out jobs") == 1
        assert "claim: WRONGTYPE" in log and "is: local s = redis.call('HMGET'" in log
    worker.stop()
    heir.stop()


def test_an_end_that_the_broker_refuses_is_told_when_it_is_mended(stack: Stack) -> None:
    worker = stack.worker(pool="threads", concurrency=1)
    stack.enqueue("hold", "job", "door")
    stack.wait_started("job")
    with stack.store() as store:
        means = store.key("means")
    # What only a settle writes: claims, renewals and reaps go on.
    stack.broker.client().hset(means, "other", "1")
    with broken(stack, means):
        stack.ledger.open("door")
        stack.wait_ended("job")
        stays(worker.alive, during=LEASE_SECONDS + 1)
    stack.wait_empty()
    assert stack.ledger.starts("job") == 1
    worker.stop()


def test_a_disk_that_is_full_stops_nobody(stack: Stack) -> None:
    """Too few replicas, or a file that can not be written: the server refuses all writes for a while."""
    worker = stack.worker(pool="prefork", concurrency=1)
    client = stack.broker.client()
    client.config_set("min-replicas-to-write", 1)
    try:
        stays(worker.alive, during=LEASE_SECONDS + 1)
    finally:
        client.config_set("min-replicas-to-write", 0)
    stack.enqueue("run", "job")
    stack.wait_ended("job", within=20)
    eventually(lambda: "NOREPLICAS" in worker.log(), within=5, what="the reason in the log")
    worker.stop()
