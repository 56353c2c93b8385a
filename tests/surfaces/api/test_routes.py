"""The routes do what their verbs do, and answer in the words of the guides."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from celery import Celery
from django.test import AsyncClient
from django.utils import timezone

from queueops.engine.store import Store
from queueops.models import AuditEntry, DeadLetter, OrgLimit, Resource
from queueops.ops import broker, dead_letters
from tests.support import letters

from .conftest import BASE, Caller, Issue


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


@pytest.fixture
def shop(app: Celery) -> Celery:
    """An application that knows a task."""

    @app.task(name="shop.deliver", shared=False)
    def deliver(*args: Any, **kwargs: Any) -> None:
        """Never runs here."""

    return app


def dead(app: Celery, store: Store, count: int, **died: Any) -> list[DeadLetter]:
    for number in range(count):
        letters.publish(app, number, org="acme")
        letters.die(store, **died)
    dead_letters.collect_all(store)
    return list(DeadLetter.objects.order_by("pk"))


def pages(api: Caller, path: str, limit: int) -> list[list[Any]]:
    """All pages of a list."""
    found, cursor = [], ""
    while True:
        page = api.ok("GET", f"{path}{'&' if '?' in path else '?'}limit={limit}&cursor={cursor}")
        found.append(page["items"])
        if page["next"] is None:
            return found
        cursor = page["next"]


STATS = {
    *("queued", "running", "succeeded_last_hour", "failed_last_hour", "retrying", "avg_queue_age_seconds"),
    *("dead_letters_total", "scheduled", "blocked", "throttled", "by_status", "total_jobs"),
    *("max_concurrent_jobs", "past_deadline", "priority_distribution", "avg_queue_time_seconds"),
    *("avg_execution_time_seconds", "health"),
}


def test_stats_have_the_names_of_the_guides_per_queue_and_in_total(
    app: Celery, store: Store, api: Caller
) -> None:
    for number in range(3):
        letters.publish(app, number, org="acme")
    dead(app, store, 1)
    found = api.ok("GET", "stats")
    assert set(found["total"]) >= STATS
    by_queue = {one["queue"]: one for one in found["queues"]}
    assert set(by_queue) >= {"critical", "standard", "bulk"}
    assert all(set(one) >= STATS for one in found["queues"])
    assert by_queue["standard"]["queued"] == found["total"]["queued"] == 3
    assert by_queue["standard"]["failed_last_hour"] == 1
    assert by_queue["standard"]["dead_letters_total"] == found["total"]["dead_letters_total"] == 1
    assert by_queue["bulk"]["health"]["level"] == "healthy"

    [alone] = api.ok("GET", "stats?queue=standard")["queues"]
    assert alone["queue"] == "standard"
    assert api.refused(404, "GET", "stats?queue=nowhere")["type"].endswith(":unknown-queue")


def test_recover_and_cleanup_answer_with_a_message_and_a_count(
    app: Celery, store: Store, api: Caller
) -> None:
    assert api.ok("POST", "recover") == {"message": "Recovered 0 jobs.", "count": 0}
    old = timezone.now() - timedelta(days=40)
    DeadLetter.objects.bulk_create(letters.row(died_at=old, status="discarded") for _ in range(3))
    told = {"message": "It would delete 3 dead letters. Nothing was done.", "count": 3}
    assert api.ok("POST", "cleanup", {"days": 30, "dry_run": True}) == told
    assert api.ok("POST", "cleanup", {"days": 30}) == {"message": "Deleted 3 dead letters.", "count": 3}
    assert api.ok("POST", "cleanup", {}) == {"message": "Deleted nothing.", "count": 0}
    for days in (0, 366, "7"):
        api.refused(422, "POST", "cleanup", {"days": days})
    assert AuditEntry.objects.filter(verb="cleanup").get().surface == "api"


def test_a_job_is_submitted_told_held_released_and_cancelled(shop: Celery, api: Caller) -> None:
    made = api("POST", "jobs", {"task": "shop.deliver", "args": [1], "org": "acme", "priority": 1})
    assert made.status_code == 201
    job = made.json()["task_id"]
    info = api.ok("GET", f"jobs/{job}")
    assert (info["state"], info["org"], info["priority"], info["args"]) == ("ready", "acme", 1, [1])
    told = api.ok("GET", f"jobs/{job}/explain")
    assert told["state"] == "ready" and told["why"] in told["lines"] and "snapshot" not in told
    [listed] = api.ok("GET", "jobs?org=acme&state=ready")["items"]
    assert listed["task_id"] == job

    assert api.ok("POST", "jobs/hold", {"task_ids": [job]}) == {"words": {job: "held"}, "count": 1}
    assert api.ok("GET", f"jobs/{job}")["state"] == "blocked"
    assert api.ok("POST", "jobs/release", {"task_ids": [job]})["count"] == 1
    assert api.ok("POST", "jobs/cancel", {"task_ids": [job, "nobody"]})["count"] == 1
    assert api.refused(404, "GET", f"jobs/{job}/explain")["type"].endswith(":unknown-job")
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", "surface"))[1:] == [
        ("enqueue", "api"),
        ("hold", "api"),
        ("release", "api"),
        ("cancel", "api"),
    ]


def test_a_job_may_be_called_like_a_verb(app: Celery, store: Store, api: Caller) -> None:
    app.send_task("shop.deliver", task_id="hold", queue="standard")
    assert api.ok("GET", "jobs/hold")["task_id"] == "hold"
    assert api.ok("POST", "jobs/hold", {"task_ids": ["hold"]})["count"] == 1
    assert api("DELETE", "jobs/hold")["Allow"] == "POST"


def test_a_job_that_cannot_be_is_refused(shop: Celery, api: Caller) -> None:
    unknown = api.refused(404, "POST", "jobs", {"task": "shop.delver"})
    assert "shop.deliver" in unknown["detail"]
    api.refused(404, "POST", "jobs", {"task": "shop.deliver", "queue": "nowhere"})
    api.refused(413, "POST", "jobs", {"task": "shop.deliver", "args": ["x" * 300_000]})
    both = {"task": "shop.deliver", "eta": "2999-01-01T00:00:00Z", "countdown_seconds": 5}
    api.refused(409, "POST", "jobs", both)
    for wrong in ({"eta": "tomorrow"}, {"eta": 5}, {"priority": 11}, {"kwargs": []}):
        api.refused(422, "POST", "jobs", {"task": "shop.deliver", **wrong})
    deep: Any = []
    for _ in range(600):
        deep = [deep]
    response = api("POST", "jobs", {"task": "shop.deliver", "args": deep})
    assert response.status_code in (201, 409, 422), response.content
    odd = api("POST", "jobs", {"task": "shop.deliver", "args": ["a\0b\ud800", 2**70]})
    assert odd.status_code == 201, "a job may carry what a column may not"


def test_jobs_that_ended_and_those_that_are_known_no_more_are_waited_for(shop: Celery, api: Caller) -> None:
    job = api.ok("POST", "jobs", {"task": "shop.deliver"})["task_id"]
    assert api.ok("GET", f"jobs/{job}/wait?seconds=0")["state"] == "ready"
    api.refused(404, "GET", f"jobs/{uuid.uuid4()}/wait?seconds=1")


def test_letters_are_filtered_and_paged(app: Celery, store: Store, api: Caller) -> None:
    made = dead(app, store, 5)
    dead(app, store, 2, error="TimeoutError", message="timeout of 5 s")
    got = pages(api, "dead-letters?error=endpoint", 2)
    assert [len(page) for page in got] == [2, 2, 1]
    assert [one["id"] for page in got for one in page] == [one.pk for one in reversed(made)]
    assert len(api.ok("GET", "dead-letters?error=timeout")["items"]) == 2
    assert api.ok("GET", "dead-letters?status=replayed")["items"] == []
    shown = api.ok("GET", f"dead-letters/{made[0].pk}")
    assert shown["letter"]["id"] == made[0].pk and shown["payload"]["args"] == [0]
    groups = api.ok("GET", "dead-letters/groups")["items"]
    assert [(one["error_class"], one["count"]) for one in groups] == [
        ("EndpointRefused", 5),
        ("TimeoutError", 2),
    ]
    api.refused(404, "GET", "dead-letters/999999")


def test_letters_are_replayed_discarded_and_purged(app: Celery, store: Store, api: Caller) -> None:
    made = dead(app, store, 4)
    dead(app, store, 2, error="TimeoutError", message="timeout of 5 s")
    done = api.ok("POST", "dead-letters/replay", {"filter": {"letters": [made[0].pk]}})
    assert (done["count"], done["next"]) == (1, None)
    assert api.ok("POST", "dead-letters/replay", {"filter": {"error": "timeout"}})["count"] == 2
    assert store.queue_snapshot("standard").ready == 3
    assert api.ok("POST", "dead-letters/discard", {"filter": {"letters": [made[1].pk]}})["count"] == 1
    young = api.refused(409, "POST", "dead-letters/purge", {"filter": {"status": "all"}})
    assert young["type"].endswith(":retention-refused")
    assert api.ok("POST", "dead-letters/purge", {"filter": {"status": "all"}, "force": True})["count"] == 6
    for careless in ({}, {"filter": {}}, {"filter": None}, {"filter": {"que": "bulk"}}):
        api.refused(422, "POST", "dead-letters/purge", careless)


def test_a_letter_is_replayed_with_other_arguments(app: Celery, store: Store, api: Caller) -> None:
    [letter] = dead(app, store, 1)
    path = f"dead-letters/{letter.pk}/edit-and-replay"
    assert api.ok("POST", path, {"args": [7], "kwargs": {}})["count"] == 1
    assert api.refused(409, "POST", path, {"args": [7], "kwargs": {}})["type"].endswith(":replay-refused")


def test_letters_are_exported_and_imported(app: Celery, store: Store, api: Caller) -> None:
    dead(app, store, 3)
    response = api("GET", "dead-letters/export?org=acme")
    assert response["Content-Type"] == "application/x-ndjson"
    lines = b"".join(response.streaming_content).decode().splitlines()
    assert [json.loads(line)["org"] for line in lines] == ["acme"] * 3
    DeadLetter.objects.all().delete()
    done = api.ok("POST", "dead-letters/import", {"lines": [*lines, lines[0], "no letter"]})
    assert (done["count"], done["known"], done["refused"]) == (3, 1, 1)


def test_an_export_is_sent_piece_by_piece_under_asgi_too(database: None, api: Caller) -> None:
    for number in range(3):
        letters.row(org=f"org-{number}", message="m" * 200_000).save()

    async def ask() -> list[bytes]:
        headers: Any = {"Authorization": f"Bearer {api.secret}"}
        response = await AsyncClient().get(BASE + "dead-letters/export", headers=headers)
        pieces = [piece async for piece in response]
        assert response.is_async and int(response["Content-Length"]) == sum(map(len, pieces))
        await sync_to_async(response.close)()
        return pieces

    pieces = asyncio.run(asyncio.wait_for(ask(), 60))
    assert len(pieces) > 1
    lines = b"".join(pieces).decode().splitlines()
    assert [json.loads(line)["org"] for line in lines] == ["org-0", "org-1", "org-2"]


def test_queues_and_tasks_are_paused_and_resumed(app: Celery, store: Store, api: Caller) -> None:
    assert api.ok("POST", "queues/bulk/pause", {"reason": "deploy"})["count"] == 1
    [paused] = [one for one in api.ok("GET", "stats")["queues"] if one["queue"] == "bulk"]
    assert paused["paused"]["reason"] == "deploy"
    assert api.ok("POST", "queues/bulk/resume", {"ramp_seconds": 600})["count"] == 1
    assert api.ok("POST", "queues/bulk/resume", {})["message"] == "Queue bulk was open."
    assert api.ok("POST", "pause", {})["count"] == api.ok("POST", "resume", {})["count"] >= 3
    api.ok("POST", "tasks/shop.deliver/pause", {"queue": "bulk", "until": "2999-01-01T00:00:00Z"})
    assert list(api.ok("GET", "paused-tasks")["bulk"]) == ["shop.deliver"]
    assert api.ok("POST", "tasks/shop.deliver/resume", {})["count"] == 1
    api.refused(404, "POST", "queues/nowhere/pause", {})
    api.refused(409, "POST", "queues/bulk/pause", {"until": "9999-12-31T23:59:59-23:59"})
    api.refused(409, "POST", "queues/bulk/drain", {})


def test_a_queue_is_drained(app: Celery, store: Store, api: Caller) -> None:
    for number in range(3):
        letters.publish(app, number)
    later = api.ok("POST", "queues/standard/drain", {"delay_seconds": 86_400})
    assert (later["count"], later["finished"]) == (3, True)
    assert store.queue_snapshot("standard").scheduled == 3
    assert api.ok("POST", "queues/standard/drain", {"remove": True})["count"] == 3


def test_an_org_is_limited_throttled_paused_and_forgotten(app: Celery, store: Store, api: Caller) -> None:
    letters.publish(app, 1, org="acme")
    row = api.ok("POST", "orgs/acme/set-limit", {"queue": "standard", "max_in_flight": 20, "rpm": None})
    assert (row["max_in_flight"], row["rpm"], row["queue"]) == (20, None, "standard")
    until = (timezone.now() + timedelta(hours=2)).isoformat()
    api.ok("POST", "orgs/acme/throttle", {"queue": "standard", "max_in_flight": 5, "until": until})
    stats = api.ok("GET", "orgs/acme")
    assert stats["limits"]["standard"]["fields"]["max_in_flight"]["value"] == 5
    assert api.ok("POST", "orgs/acme/pause", {"reason": "bill"})["paused"] is True
    [listed] = api.ok("GET", "orgs?queue=standard")["items"]
    assert (listed["org"], listed["ready"]) == ("acme", 1)
    assert api.ok("POST", "orgs/acme/resume", {})["count"] == 1
    assert api.ok("POST", "orgs/acme/reset-limit", {})["count"] == 2
    api.refused(409, "POST", "orgs/acme/set-limit", {"weight": 0})
    counted = api.ok("POST", "orgs/acme/forget", {"dry_run": True})
    assert counted["cancelled"] == 1 and store.queue_snapshot("standard").ready == 1
    assert api.ok("POST", "orgs/acme/forget", {})["cancelled"] == 1
    assert not OrgLimit.objects.exists()


def test_a_resource_is_limited_and_put_into_panic(app: Celery, api: Caller) -> None:
    assert api.ok("POST", "resources/stripe/set-limit", {"rate": "10/s", "breaker": True})["rate"] == "10/s"
    assert Resource.objects.get().breaker == "on"
    assert api.ok("GET", "resources?search=stri")["items"][0]["name"] == "stripe"
    assert api.ok("POST", "resources/stripe/panic/on", {"reason": "down"})["state"] == "open"
    assert [one["resource"] for one in api.ok("GET", "panic")["items"]] == ["stripe"]
    assert api.ok("GET", "resources/stripe/panic/dry-run")["jobs"] == 0
    assert api.ok("GET", "resources/stripe/panic/history")[0]["verb"] == "panic"
    assert api.ok("POST", "resources/stripe/panic/off")["count"] == 1
    assert api.ok("POST", "resources/stripe/pause", {})["count"] == 1
    assert api.ok("POST", "resources/stripe/resume")["count"] == 1
    assert api.ok("POST", "resources/stripe/reset-limit")["count"] == 1
    api.refused(409, "POST", "resources/stripe/set-limit", {"rate": "fast"})


def test_a_schedule_is_made_switched_and_run(shop: Celery, api: Caller) -> None:
    new = {"name": "nightly", "task": "shop.deliver", "cron": "0 3 * * *", "org": "acme"}
    made = api("POST", "schedules", new)
    assert made.status_code == 201
    number = made.json()["id"]
    api.refused(409, "POST", "schedules", new)
    assert api.ok("POST", f"schedules/{number}/disable")["count"] == 1
    assert api.ok("GET", f"schedules/{number}")["enabled"] is False
    assert api.ok("POST", f"schedules/{number}/enable")["names"] == ["nightly"]
    assert api.ok("POST", f"schedules/{number}/run-now")["count"] == 1
    for name in ("a", "b"):
        api.ok("POST", "schedules", {"name": name, "task": "shop.deliver", "every_seconds": 60})
    assert [one["name"] for page in pages(api, "schedules", 1) for one in page] == ["a", "b", "nightly"]
    api.refused(404, "POST", "schedules/999/enable")


def test_the_audit_log_goes_back_page_by_page(app: Celery, api: Caller) -> None:
    for _ in range(5):
        api.ok("POST", "queues/bulk/pause", {})
    got = pages(api, "audit?verb=pause&surface=api", 2)
    assert [len(page) for page in got] == [2, 2, 1]
    numbers = [one["id"] for page in got for one in page]
    assert numbers == sorted(numbers, reverse=True)


def test_workers_scaling_doctor_and_settings_are_told(app: Celery, store: Store, api: Caller) -> None:
    found = api.ok("GET", "workers")
    assert {"num_workers", "active_workers", "running", "items", "next"} == set(found)
    [bulk] = api.ok("GET", "scaling?queue=bulk")["items"]
    assert bulk["wanted"] >= 1 and bulk["reason"]
    api.ok("POST", "queues/bulk/scale", {"count": 7})
    assert api.ok("GET", "scaling?queue=bulk")["items"][0]["wanted"] == 7
    assert api.ok("POST", "queues/bulk/unscale")["count"] == 1
    api.refused(404, "POST", "workers/quiet", {"names": ["nobody@nowhere"]})
    report = api.ok("GET", "doctor")
    assert {"findings", "healthy", "jobs"} <= set(report)
    assert {"before", "after"} == set(api.ok("POST", "doctor/repair", {}))
    names = {one["name"] for one in api.ok("GET", "configuration")["items"]}
    assert {"API_RATE", "LEASE_SECONDS"} <= names
    assert isinstance(api.ok("GET", "check"), list)


def test_what_happened_lately_is_told(app: Celery, store: Store, api: Caller) -> None:
    dead(app, store, 3)
    assert api.ok("GET", "failures?queue=standard&limit=2")["next"] == "2"
    assert [one["count"] for one in api.ok("GET", "errors")["items"]] == [3]
    assert api.ok("GET", "tasks?queue=standard")["items"][0]["task"] == "shop.deliver"
    assert sum(point["failed"] for point in api.ok("GET", "throughput?minutes=5")) == 3
    assert len(api.ok("GET", "throughput?hours=3")) == 3
    assert api.ok("GET", "slow-jobs?hours=24")["items"]
    api.refused(422, "GET", "slow-jobs?hours=25")


def test_payloads_are_for_who_may_see_them(app: Celery, store: Store, issue: Issue) -> None:
    [letter] = dead(app, store, 1)
    caller = issue("view_deadletter", "view_jobs")
    assert caller.ok("GET", f"dead-letters/{letter.pk}")["payload"] is None
    assert caller.ok("GET", f"jobs/{letter.task_id}")["args"] is None


def test_single_attempts_are_for_who_may_see_jobs(app: Celery, store: Store, issue: Issue) -> None:
    dead(app, store, 1)
    operations, jobs = issue("view_operations"), issue("view_jobs")
    for path in ("failures", "slow-jobs"):
        assert "view_jobs" in operations.refused(403, "GET", path)["detail"]
        assert jobs.ok("GET", path)["items"]
