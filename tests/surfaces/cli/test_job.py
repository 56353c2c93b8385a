"""`queueops job`: one job is found, explained, held, and ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery import Celery
from django_celery_results.models import TaskResult

from queueops.engine.store import Store
from tests.support import letters
from tests.support.factories import new_job
from tests.surfaces.cli.conftest import Run


def test_jobs_are_listed_by_state_org_task_and_age(app: Celery, store: Store, run: Run) -> None:
    waits = letters.publish(app, 1, org="acme")
    later = letters.publish(app, 2, org="globex", countdown=600, task="shop.refund")

    def ids(*arguments: str) -> list[str]:
        return [one["task_id"] for one in run("job", "list", *arguments, "--json").data["rows"]]

    assert sorted(ids()) == sorted([waits, later])
    assert ids("--state=ready") == ids("--org=acme") == [waits]
    assert ids("--task", "shop.refund", "standard") == [later]
    assert ids("--older-than", "10m") == []
    assert waits in run("job", "list").out
    assert "No job waits or runs here." in run("job", "list", "bulk").out


def test_a_page_says_how_to_go_on(app: Celery, store: Store, run: Run) -> None:
    jobs = [new_job() for _ in range(1_500)]
    store.enqueue("standard", jobs)
    made = {job.task_id for job in jobs}

    seen: set[str] = set()
    after = "0"
    while after:
        page = run("job", "list", "--limit=200", "--after", after, "--json").data
        seen |= {one["task_id"] for one in page["rows"]}
        after = page["after"]
    assert seen == made
    assert "There is more: --after" in run("job", "list", "--limit=1").out


def test_info_and_explain_tell_of_one_job(app: Celery, store: Store, run: Run) -> None:
    task_id = letters.publish(app, "secret", org="acme")

    info = run("job", "info", task_id, "--json").data
    assert (info["state"], info["org"], info["args"]) == ("ready", "acme", ["secret"])
    assert datetime.fromisoformat(info["created_at"]).tzinfo is not None
    assert "1 of 3" in run("job", "info", task_id).out
    explained = run("job", "explain", task_id, "--json").data
    assert explained["why"] == "It is ready, and no worker serves its queue."
    assert "snapshot" not in explained
    assert "Place 1 of 1 in the lane of acme." in run("job", "explain", task_id).out
    assert "No job nobody is known" in run("job", "info", "nobody", code=3).err
    assert "No job nobody is known" in run("job", "explain", "nobody", code=3).err


def test_a_job_is_held_released_and_cancelled(app: Celery, store: Store, run: Run) -> None:
    task_id = letters.publish(app, 1)

    assert run("job", "hold", task_id, "--json").data["words"] == {task_id: "held"}
    assert run("job", "release", task_id, "--json").data["count"] == 1
    assert "say --yes" in run("job", "cancel", task_id, code=2).err
    assert "1 job cancelled." in run("job", "cancel", task_id, "--yes").out
    assert store.job(task_id) is None
    assert run("job", "cancel", task_id, "--yes", "--json", code=3).data["count"] == 0


def test_a_job_that_waits_for_its_time_runs_now(app: Celery, store: Store, run: Run) -> None:
    later, waits = letters.publish(app, 1, countdown=600), letters.publish(app, 2)

    assert run("job", "retry", later, "--json").data["words"] == {later: "ready"}
    # One of two was done: the exit code says so.
    assert run("job", "retry", waits, "nobody", "--json", code=1).data["count"] == 0


def test_jobs_past_their_deadline_are_listed(app: Celery, store: Store, run: Run) -> None:
    late = letters.publish(app, 1, deadline=datetime.now(UTC) + timedelta(milliseconds=1))

    [row] = run("job", "overdue", "--json").data["rows"]
    assert row["task_id"] == late
    assert late in run("job", "overdue", "standard").out


def test_the_result_of_a_job_that_is_over_is_told(app: Celery, run: Run) -> None:
    TaskResult.objects.create(task_id="over", status="SUCCESS", task_name="shop.add", result="42")
    try:
        info = run("job", "info", "over", "--json").data
        assert (info["source"], info["state"], info["result"]) == ("result", "succeeded", "42")
        assert "result" in run("job", "info", "over").out
    finally:
        TaskResult.objects.all().delete()
