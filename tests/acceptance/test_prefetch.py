"""How many jobs a worker claims ahead of its free slots."""

from __future__ import annotations

from queueops.engine.rules.gates import Limits
from tests.support.polling import eventually, stays
from tests.support.stack import Stack


def leased(stack: Stack) -> int:
    return int(stack.snapshot().leased)


def fill(stack: Stack, jobs: int, **options: object) -> None:
    for n in range(jobs):
        stack.enqueue("hold", f"job-{n}", "door", **options)


def test_a_number_is_claimed_ahead_of_the_slots(stack: Stack) -> None:
    stack.worker(pool="threads", concurrency=2, env={"QUEUEOPS_PREFETCH": "3"})
    fill(stack, 12)
    eventually(lambda: leased(stack) == 5, within=5, what="two running, three ahead")
    stays(lambda: leased(stack) == 5, during=1)
    assert stack.ledger.count() == 2, "what is claimed ahead has not started"


def test_zero_claims_nothing_ahead(stack: Stack) -> None:
    stack.worker(pool="prefork", concurrency=2, env={"QUEUEOPS_PREFETCH": "0"})
    fill(stack, 6)
    eventually(lambda: leased(stack) == 2, within=5)
    stays(lambda: leased(stack) == 2, during=1)


def test_auto_claims_nothing_ahead_of_long_jobs_and_one_ahead_of_short_ones(stack: Stack) -> None:
    stack.worker(pool="threads", concurrency=1, env={"QUEUEOPS_PREFETCH": "auto"})
    # Short so far: one job lies ready.
    for n in range(5):
        stack.enqueue("run", f"short-{n}", 0.1)
    stack.wait_ended(*[f"short-{n}" for n in range(5)])
    fill(stack, 3)
    eventually(lambda: leased(stack) == 2, within=5, what="one running, one ahead")
    stays(lambda: leased(stack) == 2, during=0.7)
    # Long now: a job behind a long one would wait for it while another worker is free.
    stays(lambda: stack.ledger.starts("job-1") == 0, during=4)
    stack.ledger.open("door")
    stack.wait_empty()
    for n in range(4):
        stack.enqueue("run", f"long-{n}", 1.6)
    stack.wait_ended("long-0", "long-1", "long-2")
    stack.enqueue("run", "last", 1.6)
    stack.wait_started("long-3")
    stays(lambda: stack.ledger.ends("long-3") or leased(stack) == 1, during=1, what="nothing ahead")


def test_a_job_of_a_capped_org_is_never_claimed_ahead(stack: Stack) -> None:
    with stack.store() as store:
        store.set_limits("standard", {"acme": Limits(max_in_flight=5)})
    stack.worker(pool="threads", concurrency=1, env={"QUEUEOPS_PREFETCH": "8"})
    fill(stack, 6, org="acme")
    eventually(lambda: leased(stack) == 1, within=5)
    stays(lambda: leased(stack) == 1, during=1, what="only the running one: a job ahead would hold a slot")
