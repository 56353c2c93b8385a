"""The status of queues, with what it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.test import override_settings

from queueops.engine.rules.gates import Limits
from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.errors import BrokerUnavailable, UnknownQueue
from queueops.models import AuditEntry
from queueops.ops import broker, queues, status, waiting
from queueops.ops.health import Level
from queueops.ops.permissions import Actor
from queueops.ops.status import QueueStatus
from tests.support import factories, letters, site
from tests.support.ports import free_port

ME = Actor.shell("maria")


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def of(queue: str) -> QueueStatus:
    """The status of one queue."""
    [found] = status.status(ME, queue).queues
    return found


def register(store: Store, holder: str, slots: int, *queues: str) -> None:
    """A worker that serves these queues."""
    info = {"hostname": holder, "pid": 1, "queues": list(queues), "slots": slots, "version": "1"}
    store.renew(holder, {}, answered=0, registration={**info, "started_ms": store.now_ms()})


def test_an_empty_broker_has_healthy_queues(app: Celery, store: Store) -> None:
    found = status.status(ME)

    assert {one.queue for one in found.queues} >= {"bulk", "critical", "standard", "webhooks"}
    for one in (found.total, *found.queues):
        assert (one.queued, one.total_jobs, one.health.level, one.estimated) == (0, 0, Level.HEALTHY, ())
        assert (one.oldest_wait_seconds, one.avg_queue_age_seconds, one.avg_queue_time_seconds) == (None,) * 3
    assert abs(found.at - datetime.now(UTC)) < timedelta(minutes=1)


def test_what_waits_and_runs_by_state_and_priority(app: Celery, store: Store) -> None:
    parent = letters.publish(app, queue="bulk", countdown=100)
    letters.publish(app, queue="bulk", after=[parent])
    for priority in (1, 8, 8):
        letters.publish(app, queue="bulk", org="acme", priority=priority)
    letters.publish(app, queue="bulk", org="beta")
    letters.claim(store, "bulk")
    letters.publish(app, queue="critical")
    letters.publish(app)
    letters.die(store)
    letters.row(queue="bulk").save()
    letters.row(queue="bulk", status="discarded").save()

    found = status.status(ME)

    bulk = next(one for one in found.queues if one.queue == "bulk")
    assert (bulk.queued, bulk.running, bulk.scheduled, bulk.blocked, bulk.total_jobs) == (3, 1, 1, 1, 6)
    assert bulk.priority_distribution in ({"5": 1, "8": 2}, {"1": 1, "8": 2})
    assert (bulk.dead_letters_total, bulk.totals["enqueued"]) == (1, 6)
    assert found.total.by_status == {
        "scheduled": 1,
        "blocked": 1,
        "ready": 4,
        "leased": 1,
        "succeeded": 0,
        "dead": 2,
        "cancelled": 0,
    }
    assert (found.total.queue, found.total.dead_letters_total) == ("", 2)
    assert (found.total.orgs_waiting, sum(found.total.priority_distribution.values())) == (
        bulk.orgs_waiting + 1,
        4,
    )


def test_what_ended_in_the_last_hour(app: Celery, store: Store) -> None:
    for run_ms in (100, 300):
        letters.publish(app, queue="bulk")
        store.settle([Settlement(letters.claim(store, "bulk").token, "succeeded", run_ms)])
    letters.publish(app, queue="bulk")
    letters.die(store, "bulk")

    found = of("bulk")

    assert (found.ended_last_hour, found.succeeded_last_hour, found.failed_last_hour) == (3, 2, 1)
    assert found.avg_execution_time_seconds == pytest.approx(0.52 / 3)
    assert found.avg_queue_time_seconds is not None and found.avg_queue_time_seconds < 60
    assert 3 / 360 <= found.per_second <= 3 / 300
    assert found.health.level == Level.UNHEALTHY
    assert {signal.name: signal.value for signal in found.health.signals}["failure_share"] == 1 / 3


def test_jobs_that_gates_hold_that_come_back_and_that_are_late(app: Celery, store: Store) -> None:
    now = store.now_ms()
    old = {"patience_ms": 1000, "first_ms": now - 50_000}
    store.set_limits("bulk", {"capped": Limits(max_in_flight=0)})
    store.enqueue("bulk", [factories.new_job(org="capped", **old) for _ in range(3)])
    store.enqueue("bulk", [factories.new_job(task="shop.slow", first_ms=now)])
    store.pause("bulk", task="shop.slow")
    assert store.claim(["bulk"], 1, 0, "looker", 1).jobs == []
    due = {"due_ms": now + 60_000, "first_ms": now}
    store.enqueue("bulk", [factories.new_job(attempt=attempt, **due) for attempt in (0, 1, 2)])
    store.enqueue("bulk", [factories.new_job(deadline_ms=now - 5_000, first_ms=now - 9_000)])
    store.enqueue("bulk", [factories.new_job(deadline_ms=now + 900_000, first_ms=now)])

    found = of("bulk")

    assert (found.queued, found.throttled, found.retrying, found.past_deadline) == (6, 4, 2, 1)
    assert found.oldest_wait_seconds is not None and found.oldest_wait_seconds >= 0
    assert found.avg_queue_age_seconds is not None
    assert found.avg_queue_age_seconds <= found.oldest_wait_seconds
    assert found.estimated == ()


def test_the_slots_of_workers_the_cap_a_pause_and_a_ramp(app: Celery, store: Store) -> None:
    register(store, "w1", 4, "bulk", "critical")
    register(store, "w2", 2, "critical")
    found = status.status(ME)
    by_name = {one.queue: one for one in found.queues}
    assert (by_name["bulk"].workers, by_name["bulk"].slots, by_name["bulk"].max_concurrent_jobs) == (1, 4, 4)
    assert (by_name["critical"].workers, by_name["critical"].slots) == (2, 6)
    assert (found.total.workers, found.total.slots, found.total.max_concurrent_jobs) == (2, 6, 6)

    store.set_queue("bulk", concurrency=20)
    store.enqueue("bulk", [factories.new_job() for _ in range(19)])
    assert len(store.claim(["bulk"], 19, 0, "w1", 1).jobs) == 19
    full = of("bulk")
    assert (full.concurrency, full.max_concurrent_jobs, full.health.level) == (20, 20, Level.DEGRADED)

    queues.pause(ME, "bulk", reason="a fault")
    paused = of("bulk").paused
    assert paused is not None and (paused.by, paused.reason, paused.until_ms) == ("maria", "a fault", 0)
    queues.resume(ME, "bulk", ramp=timedelta(minutes=10))
    ramping = of("bulk")
    assert ramping.paused is None and ramping.concurrency == 20
    assert ramping.ramp_until is not None and ramping.ramp_until > datetime.now(UTC)


def test_many_jobs_are_told_from_a_sample_and_it_says_so(
    app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SAMPLED", 40)
    now = store.now_ms()
    jobs = [factories.new_job(org=f"org{n % 7}", patience_ms=0, first_ms=now) for n in range(300)]
    store.enqueue("bulk", jobs)
    later = {"due_ms": now + 60_000, "first_ms": now, "attempt": 1}
    store.enqueue("bulk", [factories.new_job(**later) for _ in range(100)])

    found = of("bulk")

    assert (found.queued, found.retrying, found.priority_distribution) == (300, 100, {"0": 300})
    assert set(found.estimated) == {
        "priority_distribution",
        "avg_queue_age_seconds",
        "oldest_wait_seconds",
        "past_deadline",
        "retrying",
    }


def test_dead_jobs_that_are_not_yet_rows_are_counted(app: Celery, store: Store) -> None:
    for queue in ("bulk", "bulk", "critical"):
        letters.publish(app, queue=queue)
        letters.die(store, queue)

    assert (of("bulk").dead_letters_total, of("critical").dead_letters_total) == (2, 1)


def test_a_project_s_own_thresholds_are_judged_by(app: Celery, store: Store) -> None:
    letters.publish(app, queue="bulk")
    with override_settings(QUEUEOPS={"QUEUES": {"bulk": {"health": {"waiting": (0, 0)}}}}):
        assert of("bulk").health.level == status.status(ME).total.health.level == Level.UNHEALTHY
    assert of("bulk").health.level == Level.HEALTHY


def test_what_cannot_be_asked(database: None, app: Celery) -> None:
    with pytest.raises(UnknownQueue, match="nowhere"):
        status.status(ME, "nowhere")
    with pytest.raises(PermissionDenied, match="view_operations"):
        status.status(Actor.of(AnonymousUser(), AuditEntry.Surface.API))
    with site.celery_app(f"queueops://127.0.0.1:{free_port()}/0"), pytest.raises(BrokerUnavailable):
        status.status(ME)
