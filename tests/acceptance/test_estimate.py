"""The estimate of a job's start, held against what happens."""

from __future__ import annotations

import time

import pytest

from queueops.engine.rules.gates import Limits
from queueops.ops.estimate import estimate
from tests.support.stack import Stack


@pytest.mark.parametrize("limited", [False, True], ids=["by work", "by rate"])
def test_the_last_of_many_jobs_starts_about_when_it_was_said(stack: Stack, limited: bool) -> None:
    stack.worker(pool="threads", concurrency=4)
    for n in range(30):
        stack.enqueue("run", f"before-{n}", 0.2, org="acme")
    stack.wait_ended(*(f"before-{n}" for n in range(30)))
    stack.wait_empty()
    with stack.store() as store:
        store.pause("standard")
        for n in range(40):
            last = stack.enqueue("run", f"job-{n}", 0.2, org="acme")
            stack.enqueue("run", f"other-{n}", 0.2, org="beta")
        if limited:
            store.set_limits("standard", {"acme": Limits(rpm=300, burst=1)})
        store.resume("standard")
        job = store.job(last.id)
        assert job is not None
        told, asked = estimate(job), time.time()
    assert told.seconds is not None
    stack.wait_ended("job-39", within=60)
    [started] = stack.ledger.of("job-39")
    really = started.at - asked
    assert told.seconds / 3 < really < told.seconds * 3, told.basis
    assert ("its org starts 300 a minute" in told.basis) == limited
