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
    left = outage.python("from queueops.models import OutboxEntry\nanswer = OutboxEntry.objects.count()")
    eventually(lambda: left == 0, within=1)
