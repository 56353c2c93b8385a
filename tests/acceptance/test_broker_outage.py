"""The broker is away: while somebody publishes, and while workers work."""

from __future__ import annotations

import time

import pytest
from kombu.exceptions import OperationalError

from queueops.errors import BrokerUnavailable
from tests.support.polling import eventually, stays
from tests.support.stack import LEASE_SECONDS, Stack
from tests.support.valkey import Valkey


def assert_refused_in_time(stack: Stack, app: object) -> None:
    before = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        app.tasks["ledger.run"].apply_async(("a",), queue="standard")  # type: ignore[attr-defined]
    assert time.monotonic() - before < 5


def test_publishing_to_an_absent_broker_is_refused_with_a_typed_error(stack: Stack) -> None:
    proxy = stack.proxy()
    app = stack.make_app(proxy.broker_url)
    proxy.refuse()
    assert_refused_in_time(stack, app)
    # It is Celery's own error too, so that code written for stock Celery catches it.
    with pytest.raises(OperationalError):
        app.tasks["ledger.run"].apply_async(("a",), queue="standard")
    proxy.accept()
    app.tasks["ledger.run"].apply_async(("a",), queue="standard")
    assert stack.snapshot().ready == 1


@pytest.mark.parametrize("warm", [False, True], ids=["first publish", "open connection"])
def test_publishing_into_a_black_hole_is_refused_in_time(stack: Stack, warm: bool) -> None:
    proxy = stack.proxy()
    app = stack.make_app(proxy.broker_url)
    if warm:
        app.tasks["ledger.run"].apply_async(("warm",), queue="standard")
    proxy.black_hole()
    assert_refused_in_time(stack, app)
    proxy.heal()
    app.tasks["ledger.run"].apply_async(("a",), queue="standard")


def test_publishing_to_a_server_that_stands_still_is_refused_in_time(durable_stack: Stack) -> None:
    app = durable_stack.app
    app.tasks["ledger.run"].apply_async(("warm",), queue="standard")
    durable_stack.broker.freeze()
    try:
        assert_refused_in_time(durable_stack, app)
    finally:
        durable_stack.broker.thaw()


def outage(broker: Valkey, way: str, seconds: float) -> None:
    """The broker goes away in this way, and is back after this long."""
    gone = time.monotonic()
    {"SHUTDOWN": broker.shutdown, "SIGKILL": broker.kill, "SIGSTOP": broker.freeze}[way]()
    eventually(lambda: time.monotonic() - gone > seconds, within=seconds + 5)
    if way == "SIGSTOP":
        broker.thaw()
    else:
        broker.start()


def work_through_an_outage(stack: Stack, pool: str, way: str, *, seconds: float, **options: object) -> None:
    """Jobs run, the broker goes away longer than a lease, jobs end meanwhile; each must have run once."""
    workers = [stack.start_worker(pool=pool, concurrency=2, **options) for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    long_ones = ["across-0", "across-1"]  # run from before the outage to after it
    for job in long_ones:
        stack.enqueue("hold", job, "door", seconds * 2 + 30)
    stack.wait_started(*long_ones)
    ending = ["within-0", "within-1"]  # end while nobody can be told
    for job in ending:
        stack.enqueue("run", job, min(seconds / 3, 2.0))
    stack.wait_started(*ending)
    waiting = [f"waiting-{n}" for n in range(30)]
    for job in waiting:
        stack.enqueue("run", job, 0.05)
    outage(stack.broker, way, seconds)
    jobs = [*long_ones, *ending, *waiting]
    stack.wait_ended(*ending, *waiting, within=40)
    # For a lease's length after the return nobody may have thought that the long ones are lost.
    stays(lambda: all(stack.ledger.starts(job) == 1 for job in long_ones), during=1)
    stack.ledger.open("door")
    stack.wait_ended(*jobs, within=20)
    stack.wait_empty(within=LEASE_SECONDS + 12)
    stack.ledger.assert_each_ran_once(jobs)
    assert not stack.dead()
    for worker in workers:
        assert worker.alive()


@pytest.mark.parametrize(
    ("pool", "way"), [("prefork", "SHUTDOWN"), ("threads", "SIGKILL"), ("prefork", "SIGSTOP")]
)
def test_work_goes_on_after_the_broker_was_away_longer_than_a_lease(
    durable_stack: Stack, pool: str, way: str
) -> None:
    work_through_an_outage(durable_stack, pool, way, seconds=LEASE_SECONDS + 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pool", "way"),
    [
        ("prefork", "SHUTDOWN"),
        ("prefork", "SIGSTOP"),
        ("threads", "SIGKILL"),
        ("threads", "SIGSTOP"),
        ("gevent", "SHUTDOWN"),
    ],
)
def test_work_goes_on_after_the_broker_was_away_for_a_minute(
    durable_stack: Stack, pool: str, way: str
) -> None:
    leases = {"QUEUEOPS_LEASE_SECONDS": "30", "QUEUEOPS_HEARTBEAT_SECONDS": "10"}
    work_through_an_outage(durable_stack, pool, way, seconds=60, env=leases)


def test_a_worker_that_alone_cannot_reach_the_broker_comes_back(stack: Stack) -> None:
    proxy = stack.proxy()
    worker = stack.worker(pool="threads", concurrency=2, broker_url=proxy.broker_url)
    stack.enqueue("run", "within", 1.5)
    stack.wait_started("within")
    proxy.refuse()
    after = [f"after-{n}" for n in range(4)]
    for job in after:
        stack.enqueue("run", job)
    stack.wait_ended("within")
    stays(lambda: stack.ledger.count() == 2, during=LEASE_SECONDS + 1)
    proxy.accept()
    stack.wait_ended(*after, within=20)
    stack.wait_empty(within=20)
    stack.ledger.assert_each_ran_once(["within", *after])
    assert "Traceback" not in worker.log(), "an outage is told in words"
    worker.stop()


def test_a_worker_that_starts_before_its_broker_waits_for_it(durable_stack: Stack) -> None:
    durable_stack.enqueue("run", "early")
    durable_stack.broker.shutdown()
    worker = durable_stack.start_worker(pool="threads", concurrency=1)
    eventually(lambda: "annot connect" in worker.log(), within=20, what="the worker says that it tries")
    durable_stack.broker.start()
    worker.wait_ready()
    durable_stack.wait_ended("early")
    durable_stack.wait_empty()
    worker.stop()


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_a_worker_consumes_again_after_each_black_hole(stack: Stack, pool: str) -> None:
    """Half-open connections: nobody says that they are dead."""
    proxy = stack.proxy()
    worker = stack.worker(pool=pool, concurrency=2, broker_url=proxy.broker_url)
    jobs: list[str] = []
    for number, seconds in enumerate((1, LEASE_SECONDS + 3)):
        proxy.black_hole()
        jobs += [f"job-{number}-{n}" for n in range(10)]
        for job in jobs[-10:]:
            stack.enqueue("run", job)
        stays(worker.alive, during=seconds)
        proxy.heal()
        stack.wait_ended(*jobs, within=30)
    stack.wait_empty(within=30)
    stack.ledger.assert_each_ran_once(jobs)
    worker.stop()
