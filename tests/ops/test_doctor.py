"""The doctor as an operator calls it: what it says, mends and shows, and what it finds around the keys."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from celery import Celery
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from queueops.engine.rules.gates import ResourceLimits
from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.models import AuditEntry, OrgLimit, OutboxEntry, Resource
from queueops.ops import broker, doctor
from queueops.ops.permissions import Actor
from tests.support import letters
from tests.support.valkey import Valkey

ACTOR = Actor.shell("maria")


@pytest.fixture
def store(app: Celery, valkey: Valkey) -> Iterator[Store]:
    with broker.store() as opened:
        opened.client.config_set("appendonly", "yes")
        yield opened
        opened.client.config_set("appendonly", "no")
        opened.client.config_set("maxmemory-policy", "noeviction")


def serve(store: Store, *queues: str) -> None:
    info = {"hostname": "h", "pid": 1, "queues": list(queues), "slots": 8, "version": "1", "started_ms": 1}
    store.renew("h:1:x", {}, answered=0, registration=info)


def kinds(report: doctor.Report) -> list[str]:
    return sorted({finding.kind for finding in report.findings})


def test_a_broken_broker_is_told_proved_mended_and_shown_to_be_right(app: Celery, store: Store) -> None:
    serve(store, "standard")
    for number in range(5):
        letters.publish(app, number, org="acme")
    letters.claim(store)
    assert doctor.examine(ACTOR).healthy
    store.client.hincrby(store.key("org", queue="standard", org="acme"), "n", 2)
    store.client.delete(store.key("lane", queue="standard", resource="", org="acme"))

    report = doctor.examine(ACTOR)

    told = {(finding.text, finding.proof) for finding in report.findings if finding.kind == "slots of an org"}
    assert told == {
        (
            "Jobs in flight of acme are counted wrong, so its cap lets too many or too few run.",
            "should be 1, is 3",
        )
    }
    assert sum(finding.kind == "place of a job" for finding in report.findings) == 4
    done = doctor.repair(ACTOR)
    assert kinds(done.before) == kinds(report)
    assert done.after.healthy and doctor.examine(ACTOR).healthy
    assert len(store.claim(["standard"], 9, 0, "w2", 1).jobs) == 4
    [entry] = AuditEntry.objects.all()
    assert (entry.verb, entry.result_count, entry.parameters["left"]) == ("doctor", len(report.findings), [])
    assert "slots of an org: should be 1, is 3" in entry.parameters["found"]


def test_settings_of_the_server_that_lose_jobs(app: Celery, store: Store) -> None:
    store.client.config_set("appendonly", "no")
    store.client.config_set("maxmemory-policy", "allkeys-lru")
    report = doctor.examine(ACTOR)
    assert kinds(report) == ["maxmemory policy", "persistence"]
    assert report.findings[0].proof == "maxmemory-policy is allkeys-lru"
    assert not any(finding.mendable for finding in report.findings)
    assert kinds(doctor.repair(ACTOR).after) == kinds(report)


def test_jobs_that_nobody_serves_and_messages_of_stock_celery(app: Celery, store: Store) -> None:
    letters.publish(app, 1)
    message = '{"body": "W10=", "headers": {"id": "x", "task": "t"}, "properties": {}, "content-type": "a"}'
    store.client.lpush("bulk", message)
    serve(store, "bulk")
    report = doctor.examine(ACTOR)
    assert kinds(report) == ["messages of stock Celery", "no worker"]
    done = doctor.repair(ACTOR)
    assert kinds(done.after) == ["no worker"]
    assert store.queue_snapshot("bulk").ready == 1


def test_limits_that_the_broker_lost(app: Celery, store: Store) -> None:
    OrgLimit.objects.create(org="acme", queue="bulk", rpm=60)
    store.set_limits("bulk", {"acme": None})
    report = doctor.examine(ACTOR)
    assert kinds(report) == ["limits differ"]
    assert "acme" in report.findings[0].proof
    assert doctor.repair(ACTOR).after.healthy
    assert store.read_limits("bulk")["acme"].rpm == 60


def test_rows_of_the_outbox_that_wait_for_a_person(app: Celery, store: Store) -> None:
    OutboxEntry.objects.create(
        queue="bulk", org="acme", task="t", task_id="x", head={}, message="", refused_at=timezone.now()
    )
    [finding] = doctor.examine(ACTOR).findings
    assert (finding.kind, finding.proof, finding.mendable) == (
        "outbox",
        "1 rows of the outbox are refused",
        False,
    )


def test_limits_of_a_resource_that_the_broker_lost(app: Celery, store: Store) -> None:
    Resource.objects.create(name="whatsapp", max_in_flight=3)
    store.set_resources({"whatsapp": None, "unknown": ResourceLimits(max_in_flight=1)})
    report = doctor.examine(ACTOR)
    assert kinds(report) == ["limits differ"]
    assert len(report.findings) == 2
    assert "whatsapp" in " ".join(finding.text for finding in report.findings)
    assert doctor.repair(ACTOR).after.healthy
    assert store.read_resources() == {"whatsapp": ResourceLimits(max_in_flight=3)}


def test_dead_letters_that_nobody_collects_and_leases_that_nobody_ends(app: Celery, store: Store) -> None:
    letters.publish(app, 1)
    job = letters.claim(store)
    minute_ago = store.now_ms() - 61_000
    store.settle([Settlement(job.token, "dead", 1.0, {"reason": "failed"})], now_ms=minute_ago)
    letters.publish(app, 2)
    letters.claim(store, number=2)
    [holder] = [name for name in store.client.zrange(store.key("holders"), 0, -1) if name][-1:]
    store.client.zadd(store.key("holders"), {holder: minute_ago})
    serve(store, "standard")
    assert kinds(doctor.examine(ACTOR)) == ["dead letters wait", "leases not ended"]
    assert kinds(doctor.repair(ACTOR).after) == ["leases not ended"]


def test_clocks_that_disagree(app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 30)
    assert "clocks" in kinds(doctor.examine(ACTOR))
    monkeypatch.undo()
    store.client.hset(store.key("pulse"), "last", store.now_ms() + 60_000)
    [finding] = doctor.examine(ACTOR).findings
    assert finding.kind == "clock jump" and "in the future" in finding.proof
    assert doctor.repair(ACTOR).after.healthy


def test_who_may_not_repair_may_not(app: Celery) -> None:
    nobody = Actor.of(User.objects.create_user("carl"), AuditEntry.Surface.API)
    with pytest.raises(PermissionDenied):
        doctor.examine(nobody)
    with pytest.raises(PermissionDenied):
        doctor.repair(nobody)
