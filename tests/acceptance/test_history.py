"""The history that a real worker leaves: what it ran, how long, and what failed on the way."""

from __future__ import annotations

import pytest

from tests.support.polling import eventually
from tests.support.project import Project
from tests.support.stack import Stack

POLICY = {"RETRY_POLICIES": {"standard": {"base_seconds": 0.2, "cap_seconds": 60}}}


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_each_attempt_is_told_with_its_error_and_its_run(stack: Stack, pool: str) -> None:
    stack.worker(pool=pool, concurrency=1, settings=POLICY)
    result = stack.enqueue("fail", "job", 2, org="acme")
    stack.enqueue("run", "long", 0.3)
    stack.wait_ended("job", "long")
    stack.wait_empty()

    with stack.store() as store:
        ended = store.recent("settled", 10, "standard")
        assert sorted(one.outcome for one in ended) == ["retried", "retried", "succeeded", "succeeded"]
        second, first = store.recent("failed", 10)
        assert (first.task_id, first.attempt, second.attempt) == (result.id, 1, 2)
        assert (first.org, first.error, first.message) == ("acme", "Refused", "job refused")
        assert 0 < first.run_ms < 1000
        [slowest, *_] = store.recent("slow", 10)
        assert (slowest.task, slowest.attempt) == ("ledger.run", 1)
        assert 300 <= slowest.run_ms < 3000
        minutes = store.history("standard", minutes=5)
        assert sum(bucket.succeeded for bucket in minutes) == 2
        assert sum(bucket.failed for bucket in minutes) == 2


def test_results_in_the_database_know_their_org_and_queue(stack: Stack, project: Project) -> None:
    project.worker(pool="threads", concurrency=1, queues=("standard", "bulk"))
    good, bad = project.python(
        """
        good = tasks.run.apply_async(("good",), queue="bulk", org="acme")
        answer = [good.id, tasks.fail_for_good.delay("bad").id]
        """
    )
    stack.wait_ended("good")
    eventually(lambda: project.letters(), within=20, what="the letter of the bad one")

    told = project.python(
        f"""
        from django_celery_results.models import TaskResult
        answer = [
            (row.status, json.loads(row.meta)["org"], app.AsyncResult(row.task_id).queue)
            for task_id in ("{good}", "{bad}")
            for row in TaskResult.objects.filter(task_id=task_id)
        ]
        """
    )

    assert told == [["SUCCESS", "acme", "bulk"], ["FAILURE", "default", "standard"]]
