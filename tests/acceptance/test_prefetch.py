"""How many jobs a worker claims ahead of its free slots."""

from __future__ import annotations

import pytest

from queueops.engine.rules.gates import Limits
from tests.support.polling import eventually, stays
from tests.support.stack import Stack


def leased(stack: Stack) -> int:
    return int(stack.snapshot().leased)


def fill(stack: Stack, jobs: int, **options: object) -> None:
    for n in range(jobs):
        stack.enqueue("hold", f"job-{n}", "door", **options)


def fill_at_once(stack: Stack, jobs: int) -> None:
    """Let one claim find all of them."""
    with stack.store() as store:
        store.pause("standard")
        fill(stack, jobs)
        store.resume("standard")


def test_a_number_is_claimed_ahead_of_the_slots(stack: Stack) -> None:
    fill(stack, 12)
    stack.worker(pool="threads", concurrency=2, env={"QUEUEOPS_PREFETCH": "3"})
    eventually(lambda: leased(stack) == 5, within=5, what="two running, three ahead")
    stays(lambda: leased(stack) == 5, during=1)
    assert stack.ledger.count() == 2, "what is claimed ahead has not started"


def test_zero_claims_nothing_ahead(stack: Stack) -> None:
    stack.worker(pool="prefork", concurrency=2, env={"QUEUEOPS_PREFETCH": "0"})
    fill(stack, 6)
    eventually(lambda: leased(stack) == 2, within=5)
    stays(lambda: leased(stack) == 2, during=1)


@pytest.mark.parametrize(("seconds", "ahead"), [(0.1, 1), (1.1, 0)])
def test_auto_looks_at_how_long_jobs_run(stack: Stack, seconds: float, ahead: int) -> None:
    """Behind a long job a claimed one would wait, although another worker may be free."""
    stack.worker(pool="threads", concurrency=1, env={"QUEUEOPS_PREFETCH": "auto"})
    stack.enqueue("run", "first", seconds)
    stack.wait_ended("first")
    stack.wait_empty()
    fill_at_once(stack, 4)
    eventually(lambda: leased(stack) == 1 + ahead, within=5, what="one running")
    # After a second in which no slot got free it would go back.
    stays(lambda: leased(stack) == 1 + ahead, during=0.4)


def test_auto_claims_many_very_short_jobs_at_once(stack: Stack) -> None:
    stack.worker(pool="threads", concurrency=4, env={"QUEUEOPS_PREFETCH": "auto"})
    for n in range(30):
        stack.enqueue("run", f"short-{n}")
    stack.wait_ended(*[f"short-{n}" for n in range(30)])
    stack.wait_empty()
    fill_at_once(stack, 30)
    eventually(lambda: leased(stack) > 5, within=5, what="four running, several ahead")


def test_a_job_of_a_capped_org_is_never_claimed_ahead(stack: Stack) -> None:
    with stack.store() as store:
        store.set_limits("standard", {"acme": Limits(max_in_flight=5)})
    stack.worker(pool="threads", concurrency=1, env={"QUEUEOPS_PREFETCH": "8"})
    fill(stack, 6, org="acme")
    eventually(lambda: leased(stack) == 1, within=5)
    stays(lambda: leased(stack) == 1, during=1, what="only the running one: a job ahead would hold a slot")


def test_what_was_claimed_ahead_of_quick_jobs_goes_back_behind_long_ones(stack: Stack) -> None:
    """The mean is of quick runs when long ones take all slots; other workers are free meanwhile."""
    for n in range(60):
        stack.enqueue("run", f"quick-{n}")
    busy = stack.worker(pool="threads", concurrency=4, env={"QUEUEOPS_PREFETCH": "auto"})
    stack.wait_ended(*(f"quick-{n}" for n in range(60)), within=20)
    for n in range(4):
        stack.enqueue("hold", f"long-{n}", "door")
    stack.wait_started(*(f"long-{n}" for n in range(4)))
    late = [f"late-{n}" for n in range(40)]
    for job in late:
        stack.enqueue("run", job)
    # What the pool itself has queued, at most a job a slot, has left the transport.
    eventually(lambda: leased(stack) <= 8, within=15, what="the others are back in their lane")
    stays(lambda: leased(stack) <= 8, during=1.5)
    stack.ledger.open("door")
    stack.wait_ended(*late, within=20)
    stack.wait_empty()
    everything = [f"quick-{n}" for n in range(60)] + [f"long-{n}" for n in range(4)] + late
    stack.ledger.assert_each_ran_once(everything)
    busy.stop()
