"""A worker that stood still past its lease must not undo what happened meanwhile."""

from __future__ import annotations

import signal

import pytest

from tests.support.polling import eventually, stays
from tests.support.stack import LEASE_SECONDS, Stack


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_stopped_workers_settle_is_refused(stack: Stack, pool: str) -> None:
    # Given a job in the hands of a worker that stands still
    frozen = stack.worker(pool=pool, concurrency=1)
    stack.enqueue("hold", "job", "first door")
    stack.wait_started("job")
    frozen.send_all(signal.SIGSTOP)
    # When its lease has lapsed, another one runs the job
    other = stack.worker(pool=pool, concurrency=1)
    eventually(lambda: stack.ledger.starts("job") == 2, within=LEASE_SECONDS + 12, what="the second run")
    assert stack.snapshot().leased == 1
    # And the first one goes on while the second run is not over, and ends its own run
    stack.ledger.open("first door")
    stack.wait_ended("job")
    eventually(lambda: stack.is_empty(), within=10)
    frozen.send_all(signal.SIGCONT)
    eventually(lambda: stack.ledger.ends("job") == 2, within=10, what="the end of the first run")
    # Then one end counts, and the other was refused
    eventually(lambda: "leases were lost" in frozen.log(), within=10, what="the refusal in the log")
    assert stack.snapshot().totals["succeeded"] == 1
    assert stack.is_empty()
    assert not stack.dead()
    frozen.stop()
    other.stop()


def test_a_late_settle_does_not_end_the_second_run(stack: Stack) -> None:
    """The first run's end arrives while the second is under way: its token is another one."""
    frozen = stack.worker(pool="threads", concurrency=1)
    stack.enqueue("hold", "job", "door", 8)
    stack.wait_started("job")
    frozen.send_all(signal.SIGSTOP)
    stack.worker(pool="threads", concurrency=1)
    eventually(lambda: stack.ledger.starts("job") == 2, within=LEASE_SECONDS + 12)
    frozen.send_all(signal.SIGCONT)
    # The first run has waited at its door for longer than the second, which may stay as long: it ends first.
    eventually(lambda: stack.ledger.ends("job") == 1, within=15)
    eventually(lambda: "leases were lost" in frozen.log(), within=15, what="the refusal in the log")
    assert stack.snapshot().leased == 1, "the second run keeps its lease"
    eventually(lambda: stack.ledger.ends("job") == 2, within=20)
    stack.wait_empty()
    assert stack.snapshot().totals["succeeded"] == 1


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_what_waited_in_the_pool_does_not_start_when_another_has_run_it(stack: Stack, pool: str) -> None:
    # Given a worker that gives its pool more short jobs than it has slots, one of them behind a long one
    quick = [f"quick-{n}" for n in range(40)]
    for job in quick:
        stack.enqueue("run", job)
    frozen = stack.worker(pool=pool, concurrency=1)
    stack.wait_ended(*quick, within=20)
    stack.wait_empty()
    with stack.store() as store:
        store.pause("standard")  # so that one claim finds both
        stack.enqueue("hold", "long", "first door")
        stack.enqueue("run", "behind")
        store.resume("standard")
    stack.wait_started("long")
    eventually(lambda: stack.snapshot().leased == 2, within=5, what="the second is the pool's")
    # When it stands still, and another one runs both
    frozen.send_all(signal.SIGSTOP)
    other = stack.worker(pool=pool, concurrency=2)
    stack.wait_ended("behind", within=LEASE_SECONDS + 15)
    stack.ledger.open("first door")
    stack.wait_ended("long", within=10)
    frozen.send_all(signal.SIGCONT)
    # Then it ends what it had begun, and starts nothing that it has lost
    eventually(lambda: stack.ledger.ends("long") == 2, within=10, what="the end of the first run")
    stack.enqueue("run", "new")
    stack.wait_ended("new")
    stays(lambda: stack.ledger.starts("behind") == 1, during=2)
    eventually(lambda: stack.is_empty(), within=10)
    assert not stack.dead()
    frozen.stop()
    other.stop()
