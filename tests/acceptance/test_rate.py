"""A rate holds for all workers together; what waits for it waits in the broker."""

from __future__ import annotations

from queueops.engine.rules.gates import Limits
from tests.support.polling import eventually
from tests.support.stack import Stack

PER_SECOND, BURST, JOBS = 10, 5, 80


def test_a_rate_over_three_workers_is_kept_and_used_up(stack: Stack) -> None:
    with stack.store() as store:
        store.set_limits("standard", {"acme": Limits(rpm=PER_SECOND * 60, burst=BURST)})
    for pool in ("prefork", "threads", "threads"):
        stack.worker(pool=pool, concurrency=2)
    jobs = [f"job-{n}" for n in range(JOBS)]
    for job in jobs:
        stack.enqueue("run", job, org="acme")
    stack.enqueue("run", "other", org="globex")
    stack.wait_ended("other", within=5)
    eventually(lambda: stack.snapshot().leased == 0, within=5, what="no worker holds what has to wait")
    stack.wait_ended(*jobs, within=30)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once([*jobs, "other"])
    at = [entry.at for entry in stack.ledger.entries() if entry.event == "start" and entry.org == "acme"]
    at.sort()
    # The claim is what the rate counts; a start comes some ms after it.
    for first, last in zip(at, at[PER_SECOND + BURST + 2 :], strict=False):
        assert last - first > 0.95, "more than the rate and its burst in one second"
    ideal = (JOBS - BURST) / PER_SECOND
    assert ideal * 0.9 < at[-1] - at[0] < ideal * 1.5
