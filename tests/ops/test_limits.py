"""Limits of orgs: which one holds and why, how it reaches the broker, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from celery import Celery
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from queueops import conf
from queueops.engine.rules.gates import Limits
from queueops.engine.store import Store
from queueops.errors import LimitInvalid
from queueops.middleware.chain import chain
from queueops.models import AuditEntry, OrgLimit
from queueops.ops import broker, limits, orgs, publishing, queues, resolution
from queueops.ops.permissions import Actor
from tests.support import letters, site
from tests.support.polling import eventually
from tests.support.valkey import Valkey

ACTOR = Actor.shell("maria")
SOON = timedelta(hours=1)


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def resolved(queue: str, org: str) -> dict[str, tuple[float | None, str]]:
    found = resolution.resolve(queue, org, OrgLimit.objects.filter(org=org), timezone.now())
    return {name: (field.value, field.source) for name, field in found.fields.items()}


# Which one holds


def test_each_field_resolves_by_itself_and_tells_its_source(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUE_TENANT_RPM_BULK", "60")
    monkeypatch.setenv("QUEUE_TENANT_BURST_BULK", "6")
    until = timezone.now() + SOON
    OrgLimit.objects.create(org="acme", queue="", weight=2, rpm=600, burst=5)
    OrgLimit.objects.create(org="acme", queue="bulk", rpm=300)
    temporary = OrgLimit.objects.create(org="acme", queue="bulk", max_in_flight=1, valid_until=until)
    with override_settings(QUEUEOPS={"QUEUES": {"bulk": {"limits": {"max_in_flight": 9, "share": 0.5}}}}):
        assert resolved("bulk", "acme") == {
            "weight": (2.0, "row acme in all queues"),
            "rpm": (300.0, "row acme in bulk"),
            "burst": (5, "row acme in all queues"),
            "max_in_flight": (1, f"row {temporary}"),
            "share": (0.5, "settings QUEUEOPS"),
        }
        assert resolved("bulk", "other") == {
            "weight": (1.0, "default"),
            "rpm": (60.0, "environment QUEUE_TENANT_RPM_BULK"),
            "burst": (6, "environment QUEUE_TENANT_BURST_BULK"),
            "max_in_flight": (9, "settings QUEUEOPS"),
            "share": (0.5, "settings QUEUEOPS"),
        }
        assert resolved("standard", "acme")["rpm"] == (600.0, "row acme in all queues")
        assert resolved("standard", "other")["rpm"] == (None, "default")
    conf.reset()


def test_minus_one_lifts_what_the_settings_say(database: None) -> None:
    OrgLimit.objects.create(org="acme", queue="bulk", rpm=-1)
    given = {"QUEUES": {"bulk": {"limits": {"rpm": 60, "burst": 5, "max_in_flight": 3}}}}
    with override_settings(QUEUEOPS=given):
        found = resolution.resolve("bulk", "acme", OrgLimit.objects.all(), timezone.now())
        assert found.limits() == Limits(max_in_flight=3)


def test_the_default_org_is_exempt_from_what_is_meant_for_tenants(database: None) -> None:
    with override_settings(QUEUEOPS={"QUEUES": {"bulk": {"limits": {"rpm": 60, "max_in_flight": 3}}}}):
        assert resolved("bulk", "default")["rpm"] == (None, "default org")
        assert resolved("bulk", "default")["max_in_flight"] == (None, "default org")
        OrgLimit.objects.create(org="default", queue="bulk", max_in_flight=7)
        assert resolved("bulk", "default")["max_in_flight"] == (7, "row default in bulk")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"weight": 0}, "weight must be between 0.001 and 1000"),
        ({"weight": -1}, "weight must be between"),
        ({"rpm": 0}, "to stop an org, pause it"),
        ({"rpm": -2}, "rpm must be above 0"),
        ({"burst": 0}, "burst must be between 1 and"),
        ({"max_in_flight": -2}, "max in flight must be between 0"),
        ({"share": 1.5}, "share must be above 0 and at most 1"),
        ({"share": float("nan")}, "share must be above 0"),
        ({"colour": 3}, "colour is not a limit"),
        ({}, "Set at least one limit"),
    ],
)
def test_bad_values_are_refused_with_the_reason(
    database: None, values: dict[str, float], reason: str
) -> None:
    with pytest.raises(LimitInvalid, match=reason):
        limits.set_limit(ACTOR, "acme", "bulk", values)
    assert not OrgLimit.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_bad_org_and_a_time_that_has_passed_are_refused(database: None) -> None:
    with pytest.raises(LimitInvalid, match="A name is 1 to 128 characters"):
        limits.set_limit(ACTOR, "no spaces", "bulk", {"weight": 1})
    with pytest.raises(LimitInvalid, match="This time has passed"):
        limits.throttle(ACTOR, "acme", "bulk", 1, timezone.now() - SOON)


# How it reaches the broker


def test_a_saved_limit_is_published_when_its_transaction_has_ended(app: Celery, store: Store) -> None:
    with transaction.atomic():
        limits.set_limit(ACTOR, "acme", "bulk", {"rpm": 600, "burst": 20, "max_in_flight": 4})
        assert store.read_limits("bulk") == {}
    assert store.read_limits("bulk") == {"acme": Limits(rpm=600.0, burst=20, max_in_flight=4)}
    assert store.read_limits("standard") == {}
    limits.set_limit(ACTOR, "acme", "bulk", {"rpm": None, "burst": None})
    assert store.read_limits("bulk") == {"acme": Limits(max_in_flight=4)}
    assert limits.reset_limit(ACTOR, "acme") == 1
    assert store.read_limits("bulk") == {}
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", "target")) == [
        ("set_limit", "acme in bulk"),
        ("set_limit", "acme in bulk"),
        ("reset_limit", "acme in bulk"),
    ]
    assert AuditEntry.objects.order_by("pk")[1].parameters == {"rpm": [600.0, None], "burst": [20, None]}


def test_what_is_rolled_back_is_not_published(app: Celery, store: Store) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        limits.set_limit(ACTOR, "acme", "bulk", {"weight": 3})
        raise ZeroDivisionError
    assert store.read_limits("bulk") == {}


def test_a_limit_for_all_queues_is_the_default_of_each(app: Celery, store: Store) -> None:
    limits.set_limit(ACTOR, "acme", "", {"weight": 3})
    for queue in ("critical", "standard", "bulk", "webhooks"):
        assert store.read_limits(queue) == {"acme": Limits(weight=3.0)}


def test_what_the_broker_has_lost_or_has_too_much_is_drift_and_is_mended(app: Celery, store: Store) -> None:
    limits.set_limit(ACTOR, "acme", "bulk", {"rpm": 7, "max_in_flight": 4})
    limits.set_limit(ACTOR, "other", "", {"weight": 3})
    orgs.pause(ACTOR, "loud", "bulk", reason="asked by support")
    assert limits.drift(store) == []

    store.set_limits("bulk", {"acme": None, "unknown": Limits(weight=5), "other": Limits(weight=9)})
    store.resume("bulk", "loud")
    store.pause("standard", "other")

    assert [(one.queue, one.org) for one in limits.drift(store)] == [
        ("bulk", "acme"),
        ("bulk", "loud"),
        ("bulk", "other"),
        ("bulk", "unknown"),
        ("standard", "other"),
    ]
    limits.reconcile(store)
    assert limits.drift(store) == []
    assert store.read_limits("bulk")["acme"] == Limits(rpm=7.0, burst=1, max_in_flight=4)
    assert store.paused("bulk")["loud"].reason == "asked by support"
    assert store.paused("standard") == {}


def test_limits_survive_the_loss_of_redis(app: Celery, store: Store, valkey: Valkey) -> None:
    given = {"QUEUES": {"bulk": {"concurrency": 6, "limits": {"rpm": 60, "burst": 5, "max_in_flight": 3}}}}
    with override_settings(QUEUEOPS=given):
        limits.set_limit(ACTOR, "acme", "bulk", {"weight": 3})
        valkey.flush()
        limits.reconcile(store)
        whole = {"": Limits(rpm=60.0, burst=5, max_in_flight=3)}
        assert store.read_limits("bulk") == {
            **whole,
            "acme": Limits(weight=3.0, rpm=60.0, burst=5, max_in_flight=3),
        }
        assert store.queue_snapshot("bulk").concurrency == 6


def test_a_worker_publishes_the_limits_of_its_settings(app: Celery, store: Store) -> None:
    given = {"QUEUES": {"bulk": {"limits": {"weight": 2, "rpm": 60, "burst": 5, "share": 0.5}}}}
    with override_settings(QUEUEOPS=given):
        chain().worker_started(store)
        assert store.read_limits("bulk") == {"": Limits(weight=2.0, rpm=60.0, burst=5, share=0.5)}
    with override_settings(QUEUEOPS={}):
        chain().worker_started(store)
        assert store.read_limits("bulk") == {}


def test_a_broker_that_is_away_does_not_keep_a_limit_from_being_saved(
    database: None, caplog: pytest.LogCaptureFixture
) -> None:
    server = Valkey()
    with site.celery_app(server.broker_url):
        server.close()
        limits.set_limit(ACTOR, "acme", "bulk", {"weight": 3})
    assert OrgLimit.objects.get().weight == 3
    assert "saved and not yet published" in caplog.text


# How it ends


def test_a_temporary_limit_ends_by_itself_and_the_row_below_holds_again(app: Celery, store: Store) -> None:
    limits.set_limit(ACTOR, "acme", "bulk", {"max_in_flight": 4})
    limits.throttle(ACTOR, "acme", "bulk", 0, timezone.now() + timedelta(seconds=3), "for a moment")
    for number in range(6):
        letters.publish(app, number, queue="bulk", org="acme")
    # Given a cap of 0: nothing starts
    assert store.claim(["bulk"], 6, 0, "holder", 1).jobs == []
    assert store.org_snapshot("bulk", "acme").gate == "org_concurrency"
    # Then the engine itself goes back to 4, though no chore has run
    numbers = iter(range(2, 1000))
    found = eventually(
        lambda: store.claim(["bulk"], 6, 0, "holder", next(numbers)).jobs, within=20, what="jobs are claimed"
    )
    assert len(found) == 4
    # And the chore deletes the row and leaves an entry
    assert publishing.expire(store) == 1
    assert publishing.expire(store) == 0
    assert OrgLimit.objects.get().max_in_flight == 4
    assert limits.drift(store) == []
    entry = AuditEntry.objects.latest("pk")
    assert (entry.verb, entry.surface, entry.parameters) == (
        "expire_limit",
        "system",
        {"note": "for a moment"},
    )


def test_a_temporary_limit_without_a_row_below_gives_way_to_the_default(app: Celery, store: Store) -> None:
    limits.throttle(ACTOR, "acme", "bulk", 1, timezone.now() + timedelta(seconds=1))
    assert store.read_limits("bulk")["acme"].max_in_flight == 1
    deadline = time.monotonic() + 5
    while publishing.expire(store) == 0:
        assert time.monotonic() < deadline
    assert store.read_limits("bulk") == {}


def test_a_second_throttle_prolongs_the_first(app: Celery, store: Store) -> None:
    limits.throttle(ACTOR, "acme", "bulk", 1, timezone.now() + SOON)
    limits.throttle(ACTOR, "acme", "bulk", 2, timezone.now() + 2 * SOON)
    assert OrgLimit.objects.count() == 1
    assert store.read_limits("bulk")["acme"].max_in_flight == 2


# Pauses


def test_a_pause_of_an_org_closes_its_gate_and_resume_opens_it(app: Celery, store: Store) -> None:
    letters.publish(app, queue="bulk", org="acme")
    orgs.pause(ACTOR, "acme", "bulk", reason="asked by support")
    assert store.org_snapshot("bulk", "acme").gate == "pause"
    assert store.claim(["bulk"], 1, 0, "holder", 1).jobs == []
    assert orgs.resume(ACTOR, "acme", "bulk") == 1
    assert len(store.claim(["bulk"], 1, 0, "holder", 2).jobs) == 1
    assert not OrgLimit.objects.exists(), "a row that says nothing goes away"
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", "target")) == [
        ("pause", "org acme in bulk"),
        ("resume", "org acme in bulk"),
    ]


def test_resume_keeps_the_limits_of_the_row(app: Celery, store: Store) -> None:
    limits.set_limit(ACTOR, "acme", "bulk", {"weight": 3})
    orgs.pause(ACTOR, "acme", "bulk")
    orgs.resume(ACTOR, "acme", "bulk")
    assert store.read_limits("bulk") == {"acme": Limits(weight=3.0)}
    assert store.paused("bulk") == {}


def test_a_pause_of_all_queues_with_an_end_is_published_everywhere(app: Celery, store: Store) -> None:
    until = timezone.now() + SOON
    orgs.pause(ACTOR, "acme", until=until)
    for queue in ("critical", "standard", "bulk"):
        assert store.paused(queue)["acme"].until_ms == round(until.timestamp() * 1000)


@pytest.mark.parametrize("pause_first", [True, False])
def test_a_pause_and_a_throttle_of_an_org_end_each_at_its_own_time(
    app: Celery, store: Store, pause_first: bool
) -> None:
    paused_until, throttled_until = timezone.now() + timedelta(days=1), timezone.now() + SOON
    if pause_first:
        orgs.pause(ACTOR, "acme", "bulk", until=paused_until)
    limits.throttle(ACTOR, "acme", "bulk", 1, throttled_until)
    if not pause_first:
        orgs.pause(ACTOR, "acme", "bulk", until=paused_until)
    assert store.paused("bulk")["acme"].until_ms == round(paused_until.timestamp() * 1000)
    held = store.read_limits("bulk")["acme"]
    assert (held.max_in_flight, held.until_ms) == (1, round(throttled_until.timestamp() * 1000))
    assert limits.drift(store) == []
    assert orgs.resume(ACTOR, "acme", "bulk") == 1
    assert store.read_limits("bulk")["acme"] == held, "the throttle goes on"


def test_a_pause_that_ends_first_leaves_the_throttle_its_end(app: Celery, store: Store) -> None:
    paused_until, throttled_until = timezone.now() + SOON, timezone.now() + timedelta(days=1)
    limits.throttle(ACTOR, "acme", "bulk", 1, throttled_until)
    orgs.pause(ACTOR, "acme", "bulk", until=paused_until)
    held = store.read_limits("bulk")["acme"]
    assert (held.max_in_flight, held.until_ms) == (1, round(throttled_until.timestamp() * 1000))
    OrgLimit.objects.filter(paused=True).update(valid_until=timezone.now())
    assert publishing.expire(store) == 1
    assert store.paused("bulk") == {}
    assert store.read_limits("bulk")["acme"] == held


def test_a_pause_for_a_time_holds_no_limits(database: None) -> None:
    row = OrgLimit(org="acme", queue="bulk", paused=True, max_in_flight=2, valid_until=timezone.now() + SOON)
    with pytest.raises(LimitInvalid, match="A pause for a time is a row of its own"):
        limits.save_row(ACTOR, row)


def test_rows_from_before_that_pause_and_limit_for_a_time_are_split(database: None) -> None:
    from importlib import import_module

    from django.apps import apps
    from django.db import connection

    until = timezone.now() + SOON
    OrgLimit.objects.create(
        org="acme", queue="bulk", paused=True, max_in_flight=2, note="why", valid_until=until
    )
    with connection.schema_editor() as editor:
        import_module("queueops.migrations.0015_pauses_apart").split(apps, editor)
    assert list(
        OrgLimit.objects.order_by("-paused").values_list("paused", "max_in_flight", "note", "valid_until")
    ) == [(True, None, "why", until), (False, 2, "why", until)]


def test_who_may_change_limits_and_not_pause_leaves_pauses_as_they_are(database: None) -> None:
    from django.contrib.auth.models import Permission, User

    person = User.objects.create_user("limiter")
    person.user_permissions.add(*Permission.objects.filter(codename__endswith="_orglimit"))
    limiter = Actor.of(person, AuditEntry.Surface.API)
    until = timezone.now() + SOON
    orgs.pause(ACTOR, "acme", "bulk", until=until)
    limits.set_limit(limiter, "acme", "bulk", {"weight": 2})
    row = OrgLimit.objects.get(paused=True)
    row.valid_until = until + SOON
    with pytest.raises(PermissionDenied, match="pause_org"):
        limits.save_row(limiter, row)
    with pytest.raises(PermissionDenied, match="pause_org"):
        limits.reset_limit(limiter, "acme")
    assert OrgLimit.objects.count() == 2
    assert OrgLimit.objects.get(paused=True).valid_until == until
    assert limits.reset_rows(limiter, list(OrgLimit.objects.filter(paused=False))) == 1


def test_a_queue_is_paused_and_resumed_and_an_unknown_one_is_refused(app: Celery, store: Store) -> None:
    from queueops.errors import UnknownQueue

    queues.pause(ACTOR, "bulk", reason="deploy")
    assert store.queue_snapshot("bulk").gate == "pause"
    assert queues.resume(ACTOR, "bulk") is True
    assert queues.resume(ACTOR, "bulk") is False
    with pytest.raises(UnknownQueue, match="bulk, critical, standard"):
        queues.pause(ACTOR, "bulks")


def test_without_the_permission_nothing_changes(database: None) -> None:
    from django.contrib.auth.models import User

    nobody = Actor.of(User.objects.create_user("nobody"), AuditEntry.Surface.API)
    OrgLimit.objects.create(org="acme", weight=2)
    for refused in (
        lambda: limits.set_limit(nobody, "acme", "", {"weight": 3}),
        lambda: limits.set_limit(nobody, "other", "", {"weight": 3}),
        lambda: limits.throttle(nobody, "acme", "", 1, timezone.now() + SOON),
        lambda: limits.reset_limit(nobody, "acme"),
        lambda: orgs.pause(nobody, "acme"),
        lambda: orgs.resume(nobody, "acme"),
        lambda: queues.pause(nobody, "bulk"),
        lambda: queues.resume(nobody, "bulk"),
    ):
        with pytest.raises(PermissionDenied):
            refused()
    assert OrgLimit.objects.get().weight == 2
    assert not AuditEntry.objects.exists()
