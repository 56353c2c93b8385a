"""A worker that stood still past its lease must not undo what happened meanwhile."""

from __future__ import annotations

import signal

import pytest

from tests.support.polling import eventually
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
