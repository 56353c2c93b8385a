"""Running jobs that are cancelled or unstuck: what each pool can do, and that nothing runs twice."""

from __future__ import annotations

import pytest

from tests.support.polling import eventually, stays
from tests.support.project import Project
from tests.support.stack import Stack

VERB = """
from queueops.ops import jobs, leases
from queueops.ops.permissions import Actor
from dataclasses import asdict
actor = Actor.shell("maria")
"""
#: A worker on a loaded machine may take longer to answer than an operator is asked to wait.
PATIENT = "from queueops.ops import stopping; stopping.ANSWER_SECONDS = 15.0\n"


def unstick(project: Project, task_id: str, to: str = "lane", *, patience: str = PATIENT) -> dict[str, str]:
    done = f"answer = asdict(leases.unstick(actor, {task_id!r}, to={to!r}))"
    found: dict[str, str] = project.python(VERB + patience + done)
    return found


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_a_cancelled_job_is_stopped_and_its_slot_is_free(project: Project, pool: str) -> None:
    stack = project.stack
    project.worker(pool=pool, concurrency=1)
    job = stack.enqueue("run", "long", 600)
    stack.wait_started("long")

    done = project.python(VERB + PATIENT + f"answer = asdict(jobs.cancel(actor, [{job.id!r}]))")

    assert done["words"] == {job.id: "cancelling"}
    assert done["notes"] == {job.id: "its worker stops the run"}
    stack.enqueue("run", "next")
    stack.wait_ended("next", within=15)
    stack.wait_empty()
    assert stack.ledger.starts("long") == 1
    assert (stack.snapshot().totals["cancelled"], stack.snapshot().totals["retried"]) == (1, 0)
    assert not stack.dead()


def test_a_renewal_alone_stops_a_cancelled_job(stack: Stack) -> None:
    """Nobody could be asked, as when the message of remote control is lost."""
    stack.worker(pool="prefork", concurrency=1)
    job = stack.enqueue("run", "long", 600)
    stack.wait_started("long")
    with stack.store() as store:
        assert store.cancel(job.id) == "cancelling"
    stack.enqueue("run", "next")
    stack.wait_ended("next", within=15)
    stack.wait_empty()
    assert stack.snapshot().totals["cancelled"] == 1


def test_a_thread_goes_on_and_its_job_ends_as_cancelled(project: Project) -> None:
    stack = project.stack
    project.worker(pool="threads", concurrency=1)
    job = stack.enqueue("hold", "long", "door")
    stack.wait_started("long")
    done = project.python(VERB + PATIENT + f"answer = asdict(jobs.cancel(actor, [{job.id!r}]))")
    assert done["notes"] == {job.id: "its worker's pool cannot stop a run: the thread goes on to its end"}
    assert stack.snapshot().leased == 1
    stack.ledger.open("door")
    stack.wait_empty()
    assert stack.snapshot().totals["cancelled"] == 1


def test_a_cancelled_job_that_fails_is_neither_retried_nor_dead(stack: Stack) -> None:
    stack.worker(pool="threads", concurrency=1)
    job = stack.enqueue("fail_at", "failing", "door")
    stack.wait_started("failing")
    with stack.store() as store:
        assert store.cancel(job.id) == "cancelling"
    stack.ledger.open("door")
    stack.wait_empty()
    assert stack.snapshot().totals["cancelled"] == 1
    assert not stack.dead()
    assert stack.ledger.starts("failing") == 1


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_a_stuck_job_is_stopped_before_it_runs_again(project: Project, pool: str) -> None:
    stack = project.stack
    project.worker(pool=pool, concurrency=2)
    job = stack.enqueue("hold", "stuck", "door")
    stack.wait_started("stuck")

    done = unstick(project, job.id)

    assert done["word"] == "given_back", done["told"]
    eventually(lambda: stack.ledger.starts("stuck") == 2, within=15, what="the second run")
    assert stack.ledger.most_at_once() == 1
    stack.ledger.open("door")
    stack.wait_empty()
    assert stack.ledger.ends("stuck") == 1
    assert (stack.snapshot().totals["lost"], stack.snapshot().totals["succeeded"]) == (1, 1)


def test_a_stuck_job_goes_to_the_dead_letters(project: Project) -> None:
    stack = project.stack
    project.worker(pool="prefork", concurrency=1)
    job = stack.enqueue("hold", "stuck", "door")
    stack.wait_started("stuck")
    assert unstick(project, job.id, "dead")["word"] == "dead"
    [letter] = eventually(project.letters, within=10)
    assert (letter["task_id"], letter["reason"], letter["error_class"]) == (job.id, "worker_lost", "Stopped")
    stack.wait_empty()
    stays(lambda: stack.ledger.starts("stuck") == 1, during=0.5)


def test_a_thread_cannot_be_stopped_so_nobody_else_gets_its_job(project: Project) -> None:
    stack = project.stack
    project.worker(pool="threads", concurrency=2)
    job = stack.enqueue("hold", "stuck", "door")
    stack.wait_started("stuck")
    refused = unstick(project, job.id)
    assert refused["word"] == "refused"
    assert "the thread goes on to its end, so it may be alive" in refused["told"]
    assert stack.snapshot().leased == 1

    fenced = unstick(project, job.id, "dead")

    assert fenced["word"] == "dead" and "What that run still reports is refused." in fenced["told"]
    assert stack.snapshot().leased == 0
    stack.ledger.open("door")
    eventually(lambda: stack.ledger.ends("stuck") == 1, within=10)
    stack.enqueue("run", "next")
    stack.wait_ended("next")
    stack.wait_empty()
    assert stack.snapshot().totals["dead"] == 1
    assert stack.snapshot().totals["succeeded"] == 1


def test_a_worker_that_does_not_answer_keeps_its_job_until_its_lease_lapses(project: Project) -> None:
    stack = project.stack
    worker = project.worker(pool="solo", concurrency=1)
    job = stack.enqueue("hold", "stuck", "door")
    stack.wait_started("stuck")
    told = unstick(project, job.id, patience="")["told"]
    assert told.startswith("Nothing was changed: its worker did not answer")
    worker.kill()

    done = project.python(VERB + "answer = asdict(leases.recover(actor))", within=60)
    while done["waiting"] or not done["count"]:
        done = project.python(VERB + "answer = asdict(leases.recover(actor))", within=60)

    assert done["count"] == 1
    assert (stack.snapshot().ready, stack.snapshot().leased) == (1, 0)


def test_what_is_leased_for_long_is_listed(project: Project) -> None:
    stack = project.stack
    project.worker(pool="threads", concurrency=2)
    stack.enqueue("hold", "old", "door")
    over = stack.enqueue("hold", "over", "door", run_limit=0.1)
    stack.wait_started("old", "over")
    found = project.python(
        VERB + "rows = leases.stuck(actor)\n"
        "answer = [[one.row.task_id, one.past_run_limit] for one in rows]\n"
        "import time; deadline = time.time() + 10\n"
        "while len(leases.stuck(actor)) < 1 and time.time() < deadline: time.sleep(0.1)\n"
        "answer = [[one.row.task_id, one.past_run_limit] for one in leases.stuck(actor)]\n"
        "answer.append(len(leases.stuck(actor, minutes=0)))"
    )
    assert found == [[over.id, True], 2]
    stack.ledger.open("door")
    stack.wait_empty()
