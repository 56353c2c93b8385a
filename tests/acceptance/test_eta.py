"""Jobs for later wait in the broker: not in a worker's memory, and not in the way of others."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.factories import new_job, new_message
from tests.support.polling import eventually, stays
from tests.support.stack import LEASE_SECONDS, Stack

LATER = 50_000
#: Bytes that a worker's memory may grow while so many jobs wait.
GROWTH = 20_000_000


def resident_bytes(pid: int) -> int:
    """The memory of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def test_jobs_due_after_more_than_a_lease_run_once(stack: Stack) -> None:
    """With stock Celery a worker holds them, unacknowledged, past the visibility timeout."""
    for pool in ("prefork", "threads"):
        stack.worker(pool=pool, concurrency=2)
    jobs = [f"job-{n}" for n in range(200)]
    due = time.time() + LEASE_SECONDS * 2
    for job in jobs:
        stack.enqueue("run", job, countdown=LEASE_SECONDS * 2)
    assert stack.snapshot().scheduled == len(jobs)
    stack.wait_ended(*jobs, within=LEASE_SECONDS * 2 + 20)
    stack.wait_empty()
    stays(lambda: stack.ledger.count() == 2 * len(jobs), during=LEASE_SECONDS + 1)
    stack.ledger.assert_each_ran_once(jobs)
    starts = sorted(entry.at - due for entry in stack.ledger.entries() if entry.event == "start")
    assert starts[0] > -0.1, "none before its time"


def test_fifty_thousand_jobs_for_tomorrow_cost_a_worker_nothing(stack: Stack) -> None:
    worker = stack.worker(pool="threads", concurrency=4)
    warm = [f"warm-{n}" for n in range(50)]
    for job in warm:
        stack.enqueue("run", job)
    stack.wait_ended(*warm)
    before = resident_bytes(worker.pid)
    tomorrow = int(time.time() * 1000) + 86_400_000
    message = new_message("ledger.run", ["later"])
    with stack.store() as store:
        later = (
            new_job(tag=f"t{n}", task_id=f"t{n}", message=message, due_ms=tomorrow) for n in range(LATER)
        )
        assert set(store.enqueue("standard", later)) == {"scheduled"}
    jobs = [f"now-{n}" for n in range(500)]
    for job in jobs:
        stack.enqueue("run", job)
    stack.wait_ended(*jobs, within=30)
    eventually(lambda: stack.snapshot().leased == 0, within=10, what="all are settled")
    assert resident_bytes(worker.pid) - before < GROWTH
    assert stack.snapshot().scheduled == LATER
