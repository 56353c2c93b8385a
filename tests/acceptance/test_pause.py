"""A pause holds on every worker, also on one that starts later, and loses nothing."""

from __future__ import annotations

from tests.support.polling import eventually, stays
from tests.support.stack import Stack


def starts(stack: Stack) -> int:
    return sum(entry.event == "start" for entry in stack.ledger.entries())


def test_a_pause_under_load_holds_on_all_workers_and_a_resume_loses_nothing(stack: Stack) -> None:
    for pool in ("prefork", "threads"):
        stack.worker(pool=pool, concurrency=2)
    jobs = [f"job-{n}" for n in range(300)]
    for job in jobs:
        stack.enqueue("run", job, 0.05, org=f"org-{job[-1]}")
    stack.wait_started(jobs[0])
    with stack.store() as store:
        store.pause("standard", by="maria", reason="a look at the supplier")
    eventually(lambda: stack.snapshot().leased == 0, within=10, what="what runs or was claimed has ended")
    before = starts(stack)
    assert before < len(jobs)
    late = stack.worker(pool="threads", concurrency=4)
    stays(lambda: starts(stack) == before, during=2, what="nothing starts, on the new worker either")
    assert late.alive()
    with stack.store() as store:
        store.resume("standard")
    stack.wait_ended(*jobs, within=30)
    stack.wait_empty()
    stack.ledger.assert_each_ran_once(jobs)
