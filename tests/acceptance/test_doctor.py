"""The doctor beside living workers: what moves while it looks is no finding."""

from __future__ import annotations

import time

import pytest

from queueops.engine.rules.gates import Limits, ResourceLimits
from tests.support.stack import Stack


@pytest.mark.slow
def test_a_busy_broker_shows_nothing(stack: Stack) -> None:
    with stack.store() as store:
        store.set_limits("standard", {"org-1": Limits(max_in_flight=1), "org-2": Limits(rpm=3000, burst=5)})
        store.set_resources({"mail": ResourceLimits(per_minute=6000, burst=10, max_in_flight=2)})
        stack.worker(pool="threads", concurrency=4)
        stack.worker(pool="prefork", concurrency=2)
        looks, sent = 0, 0
        ends = time.monotonic() + 12
        while time.monotonic() < ends:
            for _ in range(40):
                options = {"countdown": 0.2} if sent % 7 == 0 else {}
                if sent % 5 == 0:
                    options["resource"] = "mail"
                name = "fail" if sent % 11 == 0 else "run"
                args = (f"job-{sent}", 1) if name == "fail" else (f"job-{sent}", 0.002)
                stack.enqueue(
                    name, *args, org=f"org-{sent % 9}", **options, retry_policy={"base_seconds": 0.3}
                )
                sent += 1
            found, orgs, _ = store.check_queue("standard")
            leases, _ = store.check_leases()
            jobs, _ = store.check_jobs()
            assert not found + leases + jobs
            looks += orgs > 0
    assert looks > 10, "it has looked at a broker with orgs"
    stack.wait_empty(within=60)
    assert stack.snapshot().totals["succeeded"] > 300
