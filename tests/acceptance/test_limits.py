"""Caps hold while jobs run, whatever acks say, and open as soon as they are raised."""

from __future__ import annotations

import pytest

from tests.support.polling import eventually, stays
from tests.support.stack import Stack


def started(stack: Stack, org: str) -> int:
    return len({entry.job for entry in stack.ledger.entries() if entry.event == "start" and entry.org == org})


def cap(stack: Stack, org: str, max_in_flight: int) -> None:
    from queueops.engine.rules.gates import Limits

    with stack.store() as store:
        store.set_limits("standard", {org: Limits(max_in_flight=max_in_flight)})


def test_a_cap_holds_while_jobs_run_that_celery_has_acknowledged_at_their_start(stack: Stack) -> None:
    """With ``acks_late=False`` Celery's ack comes at the start of the run; the slot is held to its end."""
    cap(stack, "acme", 2)
    stack.worker(pool="threads", concurrency=6)
    jobs = [f"acme-{n}" for n in range(6)]
    for job in jobs:
        stack.enqueue("hold_once", job, "door", org="acme")
    stack.enqueue("run", "other", org="globex")
    eventually(lambda: started(stack, "acme") == 2, within=10)
    stays(lambda: started(stack, "acme") == 2, during=1.5, what="two of acme's jobs")
    # Its waiting jobs occupy no worker: somebody else's job has run meanwhile.
    assert "other" in stack.ledger.ended()
    stack.ledger.open("door")
    stack.wait_ended(*jobs)
    stack.wait_empty()
    assert stack.ledger.most_at_once(lambda entry: entry.org == "acme") == 2
    stack.ledger.assert_each_ran_once([*jobs, "other"])


def test_a_raised_cap_opens_at_once(stack: Stack) -> None:
    cap(stack, "acme", 1)
    stack.worker(pool="threads", concurrency=6)
    for n in range(5):
        stack.enqueue("hold", f"acme-{n}", "door", org="acme")
    eventually(lambda: started(stack, "acme") == 1, within=10)
    stays(lambda: started(stack, "acme") == 1, during=0.7)
    # No job ends here: nothing but the change itself can open the lane.
    cap(stack, "acme", 4)
    eventually(lambda: started(stack, "acme") == 4, within=3, what="three more after the change")
    stays(lambda: started(stack, "acme") == 4, during=0.7)


def test_a_cap_of_zero_holds_everything_until_it_is_raised(stack: Stack) -> None:
    cap(stack, "acme", 0)
    stack.worker(pool="threads", concurrency=8)
    for n in range(7):
        stack.enqueue("hold", f"acme-{n}", "door", org="acme")
    stack.enqueue("run", "other", org="globex")
    stack.wait_ended("other")
    stays(lambda: started(stack, "acme") == 0, during=1, what="nothing of acme's")
    cap(stack, "acme", 5)
    eventually(lambda: started(stack, "acme") == 5, within=3, what="five after the change")
    stays(lambda: started(stack, "acme") == 5, during=0.7)


def test_a_cap_holds_over_several_workers_and_the_death_of_one(stack: Stack) -> None:
    """Slots are counted where leases are: a killed worker's come back, none leaks, none counts twice."""
    cap(stack, "acme", 2)
    first = stack.worker(pool="threads", concurrency=4)
    stack.enqueue("hold", "acme-0", "door", org="acme")
    stack.enqueue("hold", "acme-1", "door", org="acme")
    stack.wait_started("acme-0", "acme-1")
    stack.worker(pool="threads", concurrency=4)
    rest = [f"acme-{n}" for n in range(2, 6)]
    for job in rest:
        stack.enqueue("hold", job, "door", org="acme")
    stays(lambda: started(stack, "acme") == 2, during=0.7)
    first.kill()
    # Two slots come free with the two leases, for the same two jobs, which are first in their lane.
    eventually(lambda: stack.ledger.starts("acme-0") == 2 and stack.ledger.starts("acme-1") == 2, within=12)
    stays(lambda: started(stack, "acme") == 2, during=0.7)
    stack.ledger.open("door")
    stack.wait_ended("acme-0", "acme-1", *rest)
    stack.wait_empty()
    with stack.store() as store:
        assert store.org_snapshot("standard", "acme").in_flight == 0


@pytest.mark.parametrize("pool", ["threads", "gevent"])
def test_the_next_job_of_a_full_org_starts_as_soon_as_one_ends_on_whatever_worker(
    stack: Stack, pool: str
) -> None:
    """The end of a job must reach the broker at once: the slot it frees may be another worker's."""
    cap(stack, "acme", 1)
    for worker in [stack.start_worker(pool=pool, concurrency=2) for _ in range(3)]:
        worker.wait_ready()
    jobs = [f"acme-{n}" for n in range(30)]
    for job in jobs:
        stack.enqueue("run", job, org="acme")
    stack.wait_ended(*jobs)
    entries = stack.ledger.entries()
    # A settle that waits for the lease thread's next turn costs up to a second each.
    assert entries[-1].at - entries[0].at < 8
    assert stack.ledger.most_at_once() == 1
    stack.wait_empty(within=10)
