"""What a scrape says is what has happened."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery

from queueops.engine.store import Store
from queueops.engine.types import Leased, Settlement
from queueops.metrics.families import FAMILIES
from queueops.ops import orgs, status
from queueops.ops.permissions import Actor
from tests.support import letters
from tests.support.factories import new_job
from tests.support.polling import eventually

from .conftest import Scene, Scrape

ME = Actor.shell("maria")


def test_a_scrape_tells_of_everything_that_happened(scene: Scene, scrape: Callable[[], Scrape]) -> None:
    # A worker weighs itself after it has said that it is there, and the weight goes with a renewal.
    weight = "queueops_worker_memory_bytes"
    eventually(lambda: scrape().get(weight, worker_name=scene.worker.hostname) is not None, within=60)
    said = scrape()

    assert set(FAMILIES) == set(said.helps)
    for name, (kind, text) in said.helps.items():
        assert (kind, text) == (FAMILIES[name].type, FAMILIES[name].help), name
    assert (said.get("queueops_up"), said.get("queueops_database_up")) == (1, 1)
    bulk = {"queue": "bulk", "task": "shop.deliver"}
    for how, number in {"succeeded": 1, "dead": 1, "retried": 1, "cancelled": 1, "lost": 1}.items():
        assert said.get("queue_job_total", **bulk, status=how) == number, how
    assert said.get("queue_retry_total", **bulk) == 1
    assert said.get("queueops_failures_total", **bulk, error="Declined") == 1
    assert said.get("queueops_leases_lost_total", queue="bulk") == 1
    assert said.get("queueops_stale_settles_total") == 1
    assert said.get("queueops_jobs_total", queue="standard", verb="succeeded") == 3
    assert said.get("queue_run_seconds_bucket", **bulk, le="0.1") == 4, "each ran 0.1 s but the lost one"
    assert said.get("queue_run_seconds_bucket", **bulk, le="0.05") == 0
    assert said.get("queue_run_seconds_sum", **bulk) == 0.4
    assert said.get("queue_wait_seconds_count", **bulk) == 5
    assert said.get("queue_depth", queue="standard", state="leased") == 1
    assert said.get("queue_depth", queue="bulk", state="dead") == 1
    assert said.get("queue_depth", queue="bulk", state="scheduled") == 1
    assert said.get("queueops_throttled_jobs", queue="bulk", gate="org_rate") == 2
    assert said.get("queueops_breaker_state", resource="sms", state="open") == 1
    assert said.get("queueops_resources", state="open") == 1
    assert said.get("workers_active", queue="standard") == 1
    name = scene.worker.hostname
    assert said.get("worker_jobs_processing", worker_name=name) == 1
    assert said.get("queueops_worker_slots", worker_name=name) == 2
    assert said.get("queueops_slots", queue="standard") == 2
    assert said.get("workers_active", queue="bulk") == 0
    assert said.get("queueops_schedules", enabled="true") == 1
    assert said.get("queueops_schedule_due_timestamp_seconds", schedule="hourly") == 1_700_000_000
    assert said.get("queueops_quiet_orgs", queue="webhooks") == 1
    assert said.get("queueops_quiet_slowdown", queue="webhooks") is not None
    assert said.get("queueops_share_error", queue="critical") == 0, "equal weights, equal shares"
    assert said.get("queueops_backlogged_orgs", queue="critical") == 2
    assert said.get("queueops_concurrency_limit", queue="bulk") == 50
    assert said.get("queueops_org_ready_jobs", queue="bulk", org="slow") == 2
    assert said.get("queue_latency_seconds", queue="standard", priority="5", percentile="50") is not None


def test_the_numbers_are_those_that_other_surfaces_show(scene: Scene, scrape: Callable[[], Scrape]) -> None:
    said, seen = scrape(), status.status(ME, "bulk").queues[0]

    def now(name: str, **labels: str) -> float | None:
        return said.get(name, queue="bulk", **labels)

    assert now("queue_depth", state="ready") == seen.queued
    assert now("queue_depth", state="leased") == seen.running
    assert now("queue_depth", state="scheduled") == seen.scheduled
    assert now("queue_depth", state="blocked") == seen.blocked
    assert now("queue_depth", state="dead") == seen.dead_letters_total
    assert sum(said.all("queueops_throttled_jobs", queue="bulk").values()) == seen.throttled
    assert now("queueops_retrying_jobs") == seen.retrying
    assert now("queueops_past_deadline_jobs") == seen.past_deadline
    assert now("queueops_waiting_orgs") == seen.orgs_waiting
    for priority, number in seen.priority_distribution.items():
        assert now("queueops_ready_jobs", priority=priority) == number
    rows = {row.org: row for row in orgs.listed(ME, "bulk")}
    assert now("queueops_org_share", org="acme") == rows["acme"].share_of_run_time
    assert now("queueops_org_ready_jobs", org="slow") == rows["slow"].ready


def test_counters_never_fall_while_jobs_end(app: Celery, store: Store, scrape: Callable[[], Scrape]) -> None:
    before: dict[object, float] = {}
    store.enqueue("standard", [new_job(f"shop.task-{number % 3}") for number in range(560)])
    jobs = [
        *store.claim(["standard"], 500, 0, "by-hand", 1).jobs,
        *store.claim(["standard"], 60, 0, "by-hand", 2).jobs,
    ]
    done = 0
    # 256 attempts at a time are counted: closely around these, and by steps elsewhere.
    for until in (100, 250, 255, 256, 257, 400, 511, 512, 513, 560):
        store.settle([settled(job, number) for number, job in enumerate(jobs[done:until], done)])
        done = until
        said = scrape()
        now = {key: value for key, value in said.values.items() if key[0].endswith(("_total", "_bucket"))}
        assert {key: before[key] for key in before if now.get(key, 0) < before[key]} == {}
        assert sum(said.all("queue_job_total", queue="standard").values()) == done
        before = now
    assert sum(scrape().all("queue_job_total", queue="standard").values()) == 560
    assert sum(scrape().all("queueops_failures_total", queue="standard").values()) == 80


def settled(job: Leased, number: int) -> Settlement:
    outcome = "dead" if number % 7 == 0 else "succeeded"
    return Settlement(job.token, outcome, 20, {"error": "Declined"})  # type: ignore[arg-type]


def test_of_many_orgs_twenty_have_series_of_their_own(
    app: Celery, store: Store, scrape: Callable[[], Scrape]
) -> None:
    for number in range(25):
        for _ in range(2 if number < 20 else 1):
            letters.publish(app, org=f"org-{number:02}")
    letters.publish(app, org="other")

    said = scrape()

    depths = said.all("queueops_org_ready_jobs", queue="standard")
    assert len(depths) == 21
    assert said.get("queueops_org_ready_jobs", queue="standard", org="org-19") == 2
    assert said.get("queueops_org_ready_jobs", queue="standard", org="other") == 6, (
        "with the org of that name"
    )
    assert sum(depths.values()) == said.get("queue_depth", queue="standard", state="ready")


def test_idle_slots_are_those_that_a_claimable_job_could_have(
    app: Celery, store: Store, scrape: Callable[[], Scrape]
) -> None:
    info = {"hostname": "h", "pid": 1, "queues": ["standard"], "slots": 4, "version": "1", "started_ms": 0}
    store.renew("idle-worker", {}, answered=0, registration=info)
    for _ in range(2):
        letters.publish(app)

    def idle() -> float | None:
        return scrape().get("queueops_idle_slots_while_claimable", queue="standard")

    assert idle() == 2, "as many as jobs"
    store.pause("standard")
    assert idle() == 0, "nobody could claim them"
    store.resume("standard")
    for _ in range(9):
        letters.publish(app)
    assert idle() == 4, "as many as slots"


def test_a_worker_that_died_with_nobody_left_to_notice_is_not_active(
    app: Celery, store: Store, scrape: Callable[[], Scrape]
) -> None:
    info = {"hostname": "h", "pid": 1, "queues": ["bulk"], "slots": 4, "version": "1", "started_ms": 0}
    store.renew("gone", {}, answered=0, registration=info, now_ms=store.now_ms() - 60_000)

    assert scrape().get("workers_active", queue="bulk") == 0
