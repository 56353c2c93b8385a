"""The orgs of the queues, listed and one by one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from celery import Celery
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.errors import BrokerUnavailable, UnknownQueue
from queueops.models import AuditEntry
from queueops.ops import broker, limits, orgs, queues
from queueops.ops.permissions import Actor
from tests.support import letters, site
from tests.support.ports import free_port

ME = Actor.shell("maria")


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def names(**asked: object) -> list[tuple[str, str]]:
    return [(row.queue, row.org) for row in orgs.listed(ME, **asked)]  # type: ignore[arg-type]


def run(app: Celery, store: Store, org: str, run_ms: float, queue: str = "bulk") -> None:
    """Have a job of the org run."""
    letters.publish(app, queue=queue, org=org)
    store.settle([Settlement(letters.claim(store, queue).token, "succeeded", run_ms)])


def test_orgs_by_what_waits_how_long_and_by_name(app: Celery, store: Store) -> None:
    for org, number in (("late", 1), ("busy", 3), ("acme", 2)):
        for _ in range(number):
            letters.publish(app, queue="bulk", org=org)
    letters.publish(app, queue="critical", org="acme", countdown=100)

    bulk = [("bulk", org) for org in ("busy", "acme", "late")]
    assert names() == [*bulk, ("critical", "acme")]
    assert names(order="wait", queue="bulk") == [("bulk", "late"), ("bulk", "busy"), ("bulk", "acme")]
    assert names(order="name") == [bulk[1], ("critical", "acme"), bulk[0], bulk[2]]
    assert names(limit=1) == bulk[:1]
    assert names(search="AC") == [bulk[1], ("critical", "acme")]
    assert [row.scheduled for row in orgs.listed(ME, "critical")] == [1]


def test_orgs_by_their_share_of_the_run_time(app: Celery, store: Store) -> None:
    run(app, store, "acme", 10)
    run(app, store, "busy", 30)
    for org in ("acme", "busy", "new"):
        letters.publish(app, queue="bulk", org=org)

    rows = orgs.listed(ME, order="share")

    shares = [(row.org, row.share_of_run_time) for row in rows]
    assert shares == [("busy", 0.75), ("acme", 0.25), ("new", 0.0)]


def test_a_row_says_what_holds_the_org_and_what_it_may_take(app: Celery, store: Store) -> None:
    limits.set_limit(ME, "acme", "bulk", {"max_in_flight": 1, "rpm": 60, "burst": 5})
    limits.reconcile(store)
    for _ in range(3):
        letters.publish(app, queue="bulk", org="acme")
    letters.claim(store, "bulk")

    [row] = orgs.listed(ME, "bulk")

    assert (row.ready, row.in_flight, row.gate, row.rate_left) == (2, 1, "org_concurrency", 4)
    assert row.closed_until is not None and row.closed_until > timezone.now()
    assert row.oldest_wait_seconds is not None and row.oldest_wait_seconds < 60
    assert row.share_of_run_time is None
    assert row.limits["max_in_flight"].value == 1 and "row" in row.limits["max_in_flight"].source
    assert (row.limits["share"].value, row.limits["share"].source) == (None, "default")


def test_a_paused_org_is_listed_and_one_with_limits_found(app: Celery, store: Store) -> None:
    orgs.pause(ME, "idle", "bulk", until=timezone.now() + timedelta(hours=1), reason="asked to")
    limits.set_limit(ME, "capped", "bulk", {"max_in_flight": 2})
    limits.reconcile(store)

    [row] = orgs.listed(ME)

    assert (row.org, row.gate, row.ready) == ("idle", "pause", 0)
    assert row.paused is not None and row.paused.reason == "asked to"
    assert names(search="cap") == [("bulk", "capped")]


def test_one_org_in_all_queues_with_its_letters(app: Celery, store: Store) -> None:
    limits.set_limit(ME, "acme", "", {"weight": 3})
    letters.publish(app, queue="bulk", org="acme")
    letters.publish(app, queue="critical", org="acme", countdown=100)
    letters.row(org="acme").save()
    letters.row(org="other").save()

    found = orgs.stats(ME, "acme")

    assert {row.queue for row in found.rows} >= {"bulk", "critical", "standard", "webhooks"}
    assert (found.ready, found.scheduled, found.in_flight, found.letters) == (1, 1, 0, 1)
    assert found.limits["bulk"].fields["weight"].value == 3
    assert orgs.stats(ME, "nobody").ready == 0


def test_the_quotas_of_an_org_and_why_its_jobs_wait(app: Celery, store: Store) -> None:
    limits.set_limit(ME, "acme", "bulk", {"max_in_flight": 2, "rpm": 60, "burst": 5, "share": 0.5})
    limits.reconcile(store)
    for _ in range(3):
        letters.publish(app, queue="bulk", org="acme")
    assert orgs.stats(ME, "acme").why == {"bulk": ("no worker serves bulk",)}
    info = {"hostname": "w", "pid": 1, "queues": ["bulk"], "slots": 8, "version": "1", "started_ms": 0}
    store.renew("w", {}, answered=0, registration=info)
    [turn] = orgs.stats(ME, "acme").why["bulk"]
    assert turn.startswith("its turn: its weight is 1 of 1")
    assert len(store.claim(["bulk"], 2, 0, "w", 1).jobs) == 2

    found = orgs.stats(ME, "acme")

    used = {(quota.name, quota.limit, quota.used, quota.left) for quota in found.quotas}
    assert used == {("max_in_flight", 2, 2, 0), ("share", 4, 2, 2), ("rpm", 5, 2, 3)}
    assert {(quota.queue, "row" in quota.source) for quota in found.quotas} == {("bulk", True)}
    assert found.why == {"bulk": ("org_concurrency: all the jobs run that the org may run at once",)}
    store.set_queue("bulk", concurrency=2)
    assert orgs.stats(ME, "acme").why["bulk"][0].startswith("queue_concurrency: ")
    queues.pause(ME, "bulk", reason="a fault")
    assert orgs.stats(ME, "acme").why["bulk"][0] == "bulk is paused by maria (a fault)"
    limits.set_limit(ME, "acme", "bulk", {"max_in_flight": None, "share": None, "rpm": 1, "burst": 1})
    limits.reconcile(store)
    rate = orgs.stats(ME, "acme").why["bulk"][1]
    assert rate.startswith("org_rate: ") and "it opens in" in rate


def test_what_cannot_be_listed(app: Celery, store: Store, database: None) -> None:
    nobody = Actor.of(AnonymousUser(), AuditEntry.Surface.API)
    for ask in (lambda: orgs.listed(nobody), lambda: orgs.stats(nobody, "acme")):
        with pytest.raises(PermissionDenied):
            ask()
    with pytest.raises(UnknownQueue):
        orgs.listed(ME, "nowhere")
    with pytest.raises(ValueError, match="no order"):
        orgs.listed(ME, order="size")  # type: ignore[arg-type]


def test_a_broker_that_is_away(database: None) -> None:
    with site.celery_app(f"queueops://127.0.0.1:{free_port()}/0"):
        with pytest.raises(BrokerUnavailable):
            orgs.listed(ME)
        with pytest.raises(BrokerUnavailable):
            orgs.stats(ME, "acme")
