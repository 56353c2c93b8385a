"""The broker is away when a transaction commits: its jobs run when it is back, once, in their order."""

from __future__ import annotations

from tests.support.polling import eventually
from tests.support.project import Project
from tests.support.stack import Stack
from tests.support.valkey import Valkey


def test_jobs_of_an_outage_reach_the_queue_when_it_is_over(
    durable_stack: Stack, durable_valkey: Valkey, project: Project
) -> None:
    outage = Project(durable_stack, project.database_url)
    outage.worker(pool="threads", concurrency=1)
    durable_valkey.kill()
    written = outage.python(
        """
        from django.db import transaction
        from queueops import enqueue_in_transaction
        from queueops.models import OutboxEntry
        with transaction.atomic():
            for n in range(5):
                enqueue_in_transaction(tasks.run, (f"job-{n}",))
        answer = OutboxEntry.objects.count()
        """
    )
    assert written == 5, "the transaction is committed, and the rows wait"
    durable_valkey.start()
    jobs = [f"job-{n}" for n in range(5)]
    durable_stack.wait_ended(*jobs, within=40)
    durable_stack.wait_empty()
    durable_stack.ledger.assert_each_ran_once(jobs)
    started = [entry.job for entry in durable_stack.ledger.entries() if entry.event == "start"]
    assert started == jobs
    left = "from queueops.models import OutboxEntry\nanswer = OutboxEntry.objects.count()"
    eventually(lambda: outage.python(left) == 0, within=30, what="no row is left")


def test_a_relay_that_is_killed_in_the_middle_leaves_each_job_once_and_in_order(
    stack: Stack, project: Project
) -> None:
    number = 1_000
    written = project.python(
        f"""
        from django.db import transaction
        from queueops import enqueue_in_transaction
        from queueops.ops import relay
        relay._away_until = float("inf")  # leave them to the workers
        with transaction.atomic():
            jobs = [(f"job-{{n}}",) for n in range({number})]
            answer = [enqueue_in_transaction(tasks.run, job, queue="bulk") for job in jobs]
        """
    )
    relaying = project.worker(pool="solo", concurrency=1)
    eventually(lambda: stack.snapshot("bulk").ready > 0, within=20, what="the first step")
    relaying.kill()
    project.worker(pool="solo", concurrency=1)
    eventually(lambda: stack.snapshot("bulk").ready >= number, within=60, what="all are in the broker")
    with stack.store() as store:
        claimed = [job.task_id for _ in range(2) for job in store.claim(["bulk"], 500, 0, "reader", 1).jobs]
        assert not store.claim(["bulk"], 500, 0, "reader", 1).jobs
    assert claimed == written
