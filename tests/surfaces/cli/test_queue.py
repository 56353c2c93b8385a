"""`queueops queue`: what it shows and what it changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery

from queueops.engine.store import Store
from queueops.models import AuditEntry
from queueops.ops import resources
from queueops.ops.permissions import Actor
from tests.support import letters
from tests.support.factories import new_job
from tests.surfaces.cli.conftest import Run


def test_list_and_status_show_what_waits_and_runs(app: Celery, store: Store, run: Run) -> None:
    for number in range(3):
        letters.publish(app, number, org="acme")
    letters.claim(store)

    [standard] = [one for one in run("queue", "list", "--json").data if one["queue"] == "standard"]
    assert (standard["queued"], standard["running"], standard["total_jobs"]) == (2, 1, 3)
    overview = run("queue", "status", "--json").data
    assert overview["total"]["queued"] == 2
    assert datetime.fromisoformat(overview["at"]).tzinfo is not None
    assert {one["queue"] for one in overview["queues"]} >= {"critical", "standard", "bulk", "webhooks"}
    assert "standard" in run("queue", "status").out
    assert "2" in run("queue", "status", "--queue=standard").out


@pytest.mark.parametrize("named", [["bulk"], ["--queue", "bulk"], ["--queue=bulk"], ["bulk", "--queue=bulk"]])
def test_a_queue_may_be_named_in_either_way(app: Celery, run: Run, named: list[str]) -> None:
    assert [one["queue"] for one in run("queue", "metrics", *named, "--json").data["queues"]] == ["bulk"]


def test_health_ends_with_6_when_a_queue_is_not_healthy(app: Celery, store: Store, run: Run) -> None:
    assert run("queue", "health", "--json").data["level"] == "healthy"

    store.enqueue("standard", [new_job() for _ in range(1_001)])

    seen = run("queue", "health", "--json", code=6)
    assert seen.data["queues"]["standard"]["level"] == "degraded"
    assert "waiting 1,001 (degraded from 1,000 on)" in run("queue", "health", code=6).out


def test_a_queue_is_paused_for_a_time_and_resumed(app: Celery, store: Store, run: Run) -> None:
    said = run("queue", "pause", "bulk", "--for", "30m", "--reason", "AFIP is down", "--json").data

    until = datetime.fromisoformat(said["until"])
    assert timedelta(minutes=29) < until - datetime.now(UTC) <= timedelta(minutes=30)
    paused = store.queue_snapshot("bulk").paused
    assert paused is not None
    assert (paused.until_ms, paused.reason) == (round(until.timestamp() * 1000), "AFIP is down")
    assert "AFIP is down" in run("queue", "status", "bulk").out
    assert run("queue", "resume", "bulk", "--ramp", "10m", "--json").data == {
        "resumed": ["queue bulk"],
        "ramp": 600.0,
    }
    assert store.queue_snapshot("bulk").paused is None
    assert run("queue", "resume", "bulk").out == "Nothing was paused.\n"
    assert [one.surface for one in AuditEntry.objects.filter(verb="pause")] == ["cli"]


def test_pause_closes_an_org_a_resource_a_task_or_all_queues(app: Celery, store: Store, run: Run) -> None:
    for target, closed in (
        (["--org", "acme", "bulk"], ["org acme in bulk"]),
        (["--resource", "stripe"], ["resource stripe"]),
        (["--task", "shop.deliver", "bulk"], ["task shop.deliver in bulk"]),
    ):
        assert run("queue", "pause", *target, "--json").data["paused"] == closed
        assert run("queue", "resume", *target, "--json").data["resumed"] == closed
    everything = run("queue", "pause", "--all", "--json").data["paused"]
    assert {"queue bulk", "queue critical", "queue standard"} <= set(everything)
    assert run("queue", "resume", "--all", "--json").data["resumed"] == everything


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Name a queue, or say --org, --resource, --task or --all."),
        (["--org", "acme", "--all"], "Name one: --org or --all."),
        (["bulk", "--resource", "stripe"], "--resource concerns all queues: leave out bulk."),
        (["bulk", "--queue", "critical"], "Two are named: bulk and critical."),
        (["bulk", "--for", "5"], "say 10s, 30m, 24h, 7d or 1h30m."),
        (["bulk", "--for", "5m", "--until", "2030-01-01"], "Say --for or --until, not both."),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_right(
    app: Celery, run: Run, arguments: list[str], told: str
) -> None:
    assert told in run("queue", "pause", *arguments, code=2).err


def test_drain_puts_off_what_waits(app: Celery, store: Store, run: Run) -> None:
    for number in range(3):
        letters.publish(app, number, queue="bulk")

    rehearsed = run("queue", "drain", "bulk", "--delay=24h", "--dry-run", "--json").data
    assert (rehearsed["count"], store.queue_snapshot("bulk").ready) == (3, 3)
    done = run("queue", "drain", "bulk", "--delay=24h", "--yes", "--json").data

    assert (done["count"], done["finished"]) == (3, True)
    later = datetime.fromisoformat(done["until"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=59) < later <= timedelta(hours=24)
    assert store.queue_snapshot("bulk").scheduled == 3


def test_drain_asks_before_it_deletes(app: Celery, store: Store, run: Run) -> None:
    letters.publish(app, 1, queue="bulk")

    assert "say --yes" in run("queue", "drain", "bulk", "--remove", code=2).err
    assert store.queue_snapshot("bulk").ready == 1
    assert run("queue", "drain", "--queue=bulk", "--remove", "--yes").out == "1 job of bulk deleted.\n"
    assert store.queue_snapshot("bulk").ready == 0
    assert "Say how to drain" in run("queue", "drain", "bulk", code=2).err


def test_long_work_shows_a_bar_on_a_terminal(
    app: Celery, store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queueops.cli.verbs.is_terminal", lambda name: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    store.enqueue("bulk", [new_job(queue="bulk") for _ in range(1_200)])

    ran = run("queue", "drain", "bulk", "--remove", input="y\n")

    assert "Have 1,200 jobs of bulk deleted, for good? [y/N]" in ran.err
    assert "Draining bulk" in ran.err
    assert "1200/1200" in ran.err
    assert ran.out == "1,200 jobs of bulk deleted.\n"


def test_stuck_jobs_are_listed_and_sent_to_the_dead_letters(app: Celery, store: Store, run: Run) -> None:
    letters.publish(app, 1)
    job = letters.claim(store)
    assert run("queue", "stuck", "--json").data == []

    [found] = run("queue", "stuck", "standard", "--older-than", "0s", "--json").data
    assert found["row"]["task_id"] == job.task_id
    assert "1 job would be stopped" in run("queue", "unstick", "standard", "--older-than=0s", "--dry-run").out
    [done] = run("queue", "unstick", "--job", job.task_id, "--to-dead", "--yes", "--json").data
    assert done["word"] == "dead"
    assert store.job(job.task_id) is None


def test_what_happened_is_told(app: Celery, store: Store, run: Run) -> None:
    letters.publish(app, 1, org="acme")
    letters.die(store, error="Timeout", message="no answer in 30 s")

    [failure] = run("queue", "failures", "--queue=standard", "--limit=20", "--json").data
    assert (failure["org"], failure["error"], failure["outcome"]) == ("acme", "Timeout", "dead")
    assert "no answer in 30 s" in run("queue", "failures").out
    [group] = run("queue", "error-summary", "standard", "--json").data
    assert (group["error"], group["count"]) == ("Timeout", 1)
    assert sum(point["ended"] for point in run("queue", "throughput", "--json").data) == 1
    for _ in range(3):
        letters.publish(app, 1, org="acme", unique_key="1")
    told = run("queue", "tasks", "standard", "--hours=168", "--json").data
    assert [(one["task"], one["ended"], one["failed"]) for one in told["tasks"]] == [("shop.deliver", 1, 1)]
    assert told["duplicates"] == {"shop.deliver": 2}
    assert len(run("queue", "throughput", "standard", "--hours", "3", "--json").data) == 3
    [slow] = run("queue", "slow-jobs", "--hours=24", "--json").data
    assert "1<=x<=24" in run("queue", "slow-jobs", "--hours=25", code=2).err
    assert slow["task"] == "shop.deliver"


def test_a_resource_pause_shows_in_the_list_of_resources(app: Celery, run: Run) -> None:
    resources.set_limit(Actor.shell("maria"), "stripe", {"rate": "10/s"})
    run("queue", "pause", "--resource", "stripe")

    [stripe] = run("resource", "list", "--json").data
    assert stripe["snapshot"]["paused"] is not None
