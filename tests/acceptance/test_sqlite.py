"""Workers that store results and letters in SQLite, side by side."""

from __future__ import annotations

from tests.support.polling import eventually
from tests.support.project import Project
from tests.support.stack import Stack


def test_results_and_letters_of_three_workers_lock_nobody_out(stack: Stack, project: Project) -> None:
    workers = [project.worker(pool=pool, concurrency=2) for pool in ("prefork", "threads", "threads")]
    project.python(
        """
        for n in range(400):
            tasks.run.delay(f"job-{n}")
        for n in range(40):
            tasks.fail_for_good.delay(f"failing-{n}")
        """
    )
    jobs = [f"job-{n}" for n in range(400)]
    stack.wait_ended(*jobs, within=60)
    stack.wait_empty(within=30)
    eventually(lambda: len(project.letters()) == 40, within=30, what="forty letters")
    stored = project.python(
        """
        from django_celery_results.models import TaskResult
        answer = [TaskResult.objects.filter(status=s).count() for s in ("SUCCESS", "FAILURE")]
        """
    )
    assert stored == [400, 40]
    for worker in workers:
        assert "database is locked" not in worker.log()
