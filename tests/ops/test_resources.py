"""Limits of resources: which one holds and why, how it reaches the broker, pause, and what a row may say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.test import override_settings
from django.utils import timezone

from queueops.engine.rules.gates import Breaker, ResourceLimits
from queueops.engine.store import Store
from queueops.errors import InvalidResource, LimitInvalid
from queueops.middleware import resources as declared
from queueops.middleware.chain import chain
from queueops.models import AuditEntry, Resource
from queueops.ops import broker, panic, resource_limits, resources
from queueops.ops.permissions import Actor
from tests.support import letters, site
from tests.support.valkey import Valkey

ACTOR = Actor.shell("maria")
SOON = timedelta(hours=1)
SETTINGS = {"RESOURCES": {"whatsapp": {"rate": "10/s", "burst": 20, "breaker": {"probes": 1}}, "stripe": {}}}


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


@pytest.fixture
def registered() -> Iterator[dict[str, Mapping[str, Any]]]:
    """What an app has registered."""
    given: dict[str, Mapping[str, Any]] = {}
    declared.register("of a test", lambda names: given)
    yield given
    del declared._sources["of a test"]


def resolved(name: str) -> dict[str, tuple[Any, str]]:
    return {
        field: (said.value, said.source)
        for field, said in resource_limits.resolve([name])[name].fields.items()
    }


def nothing() -> None: ...


# Which one holds


def test_each_field_resolves_by_itself_and_tells_its_source(
    app: Celery, registered: dict[str, Mapping[str, Any]]
) -> None:
    app.task(nothing, name="shop.send", shared=False, rate_limit="5/s")
    Resource.objects.create(name="whatsapp", rate="5/m", max_in_flight=3, breaker="off")
    Resource.objects.create(name="task@shop.send", rate="1/s")
    registered["hook.1"] = {"max_in_flight": 2}
    registered["whatsapp"] = {"max_in_flight": 9, "open_seconds": 5}
    with override_settings(QUEUEOPS=SETTINGS):
        assert resolved("whatsapp") == {
            "rate": (5.0, "row"),
            "burst": (20, "settings QUEUEOPS"),
            "max_in_flight": (3, "row"),
            "breaker": (False, "row"),
            "open_seconds": (5, "of a test"),
            "probes": (1, "settings QUEUEOPS"),
        }
        assert resolved("hook.1") == {"max_in_flight": (2, "of a test")}
        assert resolved("task@shop.send") == {"rate": (60.0, "row")}
        Resource.objects.all().delete()
        assert resolved("task@shop.send") == {"rate": (300.0, "rate_limit of the task")}
        assert resolved("unknown") == {}
        assert list(resource_limits.resolve()) == ["hook.1", "stripe", "task@shop.send", "whatsapp"]


def test_minus_one_lifts_what_the_settings_say(app: Celery) -> None:
    Resource.objects.create(name="whatsapp", rate="-1", max_in_flight=-1)
    with override_settings(QUEUEOPS=SETTINGS):
        limits = resource_limits.resolve(["whatsapp"])["whatsapp"].limits()
    assert limits == ResourceLimits(breaker=Breaker(probes=1))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"rate": "often"}, "10/s, 5/m, 100/h, 1000/d"),
        ({"rate": "0/s"}, "to stop a resource, pause it"),
        ({"burst": 0}, "burst must be between 1"),
        ({"max_in_flight": -2}, "max in flight must be between 0"),
        ({"breaker": "maybe"}, "is not a valid choice"),
        ({"failure_share": 1.5}, "failure share must be between"),
        ({"min_calls": 0}, "min calls must be between 1"),
        ({"open_seconds": 5000}, "longest open must be at least open"),
        ({"probes": 0}, "probes must be between 1"),
        ({"colour": 3}, "colour is not a limit"),
        ({}, "Set at least one limit"),
    ],
)
def test_bad_values_are_refused_with_the_engines_reason(
    app: Celery, values: dict[str, Any], reason: str
) -> None:
    with pytest.raises(LimitInvalid, match=reason):
        resources.set_limit(ACTOR, "whatsapp", values)
    with pytest.raises(LimitInvalid, match="A name is 1 to 128 characters"):
        resources.set_limit(ACTOR, "no spaces", {"burst": 1})
    assert not Resource.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_row_that_does_not_fit_what_it_inherits_is_refused(app: Celery) -> None:
    given = {"RESOURCES": {"whatsapp": {"breaker": {"longest_open_seconds": 40}}}}
    with override_settings(QUEUEOPS=given), pytest.raises(LimitInvalid, match="longest open"):
        resources.set_limit(ACTOR, "whatsapp", {"open_seconds": 60})
    assert not Resource.objects.exists()


# How it reaches the broker


def test_a_saved_limit_is_published_when_its_transaction_has_ended(app: Celery, store: Store) -> None:
    with transaction.atomic():
        resources.set_limit(
            ACTOR, "whatsapp", {"rate": "10/s", "burst": 5, "max_in_flight": 2, "breaker": True}
        )
        assert store.read_resources() == {}
    assert store.read_resources() == {"whatsapp": ResourceLimits(600.0, 5, 2, Breaker())}
    resources.set_limit(ACTOR, "whatsapp", {"rate": None, "burst": None, "breaker": False}, note="slow")
    assert store.read_resources() == {"whatsapp": ResourceLimits(max_in_flight=2)}
    assert resources.reset_limit(ACTOR, "whatsapp") == 1
    assert resources.reset_limit(ACTOR, "whatsapp") == 0
    assert store.read_resources() == {}
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", "target")) == [
        ("set_limit", "resource whatsapp"),
        ("set_limit", "resource whatsapp"),
        ("reset_limit", "resource whatsapp"),
    ]
    assert AuditEntry.objects.order_by("pk")[1].parameters == {
        "rate": ["10/s", ""],
        "burst": [5, None],
        "breaker": ["on", "off"],
        "note": ["", "slow"],
    }


def test_a_deleted_row_gives_way_to_the_settings(app: Celery, store: Store) -> None:
    with override_settings(QUEUEOPS=SETTINGS):
        resources.set_limit(ACTOR, "whatsapp", {"rate": "1/s", "breaker": False})
        assert store.read_resources()["whatsapp"] == ResourceLimits(60.0, 20)
        resources.reset_limit(ACTOR, "whatsapp")
        assert store.read_resources()["whatsapp"] == ResourceLimits(600.0, 20, None, Breaker(probes=1))


def test_drift_is_found_and_mended(app: Celery, store: Store) -> None:
    resources.set_limit(ACTOR, "whatsapp", {"rate": "7/m", "max_in_flight": 4})
    resources.set_limit(ACTOR, "stripe", {"max_in_flight": 4})
    assert resources.drift(store) == []
    store.set_resources(
        {
            "whatsapp": None,
            "stripe": ResourceLimits(max_in_flight=9),
            "unknown": ResourceLimits(max_in_flight=1),
            "task@of.another.worker": ResourceLimits(60.0),
        }
    )
    assert [one.name for one in resources.drift(store)] == ["stripe", "unknown", "whatsapp"]
    assert resources.reconcile(store) == 3
    assert resources.drift(store) == []
    assert store.read_resources() == {
        "whatsapp": ResourceLimits(7.0, 1, 4),
        "stripe": ResourceLimits(max_in_flight=4),
        "task@of.another.worker": ResourceLimits(60.0, 1),
    }


def test_limits_survive_the_loss_of_redis(app: Celery, store: Store, valkey: Valkey) -> None:
    resources.set_limit(ACTOR, "whatsapp", {"max_in_flight": 4})
    with override_settings(QUEUEOPS=SETTINGS):
        valkey.flush()
        assert resources.reconcile(store) == 1
        assert store.read_resources() == {"whatsapp": ResourceLimits(600.0, 20, 4, Breaker(probes=1))}


def test_a_worker_publishes_settings_rows_and_rates_of_tasks(app: Celery, store: Store) -> None:
    app.task(nothing, name="shop.send", shared=False, rate_limit="5/s")
    app.task(nothing, name="shop.other", shared=False, rate_limit="5/s", resource="stripe")
    Resource.objects.create(name="whatsapp", rate="1/s")
    store.set_resources({"whatsapp": None})
    with override_settings(QUEUEOPS=SETTINGS):
        chain().worker_started(store)
        assert store.read_resources() == {
            "whatsapp": ResourceLimits(60.0, 20, None, Breaker(probes=1)),
            "task@shop.send": ResourceLimits(300.0, 1),
            "stripe": ResourceLimits(),
        }
        # What nobody limits leaves nothing behind.
        resources.reconcile(store)
        assert resources.drift(store) == []


def test_a_broker_that_is_away_does_not_keep_a_limit_from_being_saved(
    database: None, caplog: pytest.LogCaptureFixture
) -> None:
    server = Valkey()
    with site.celery_app(server.broker_url):
        server.close()
        resources.set_limit(ACTOR, "whatsapp", {"max_in_flight": 3})
    assert Resource.objects.get().max_in_flight == 3
    assert "saved and not yet published" in caplog.text


# What holds now


def test_the_live_picture_tells_what_waits_and_what_closes_it(app: Celery, store: Store) -> None:
    resources.set_limit(ACTOR, "whatsapp", {"max_in_flight": 2, "rate": "10/s", "burst": 20})
    for number in range(5):
        letters.publish(app, number, queue="bulk", org="acme", resource="whatsapp")
    assert len(store.claim(["bulk"], 5, 0, "holder", 1).jobs) == 2
    one = resources.live(store, ["whatsapp"])["whatsapp"]
    assert (one.snapshot.in_flight, one.snapshot.waiting, one.snapshot.gate) == (
        2,
        {"bulk": 3},
        "resource_concurrency",
    )
    assert one.drift is False
    store.set_resources({"whatsapp": ResourceLimits(max_in_flight=9)})
    assert resources.live(store, ["whatsapp"])["whatsapp"].drift is True
    assert resources.known(store) == ["whatsapp"]


def test_resources_are_listed_with_what_is_closed_first(app: Celery, store: Store) -> None:
    from django.contrib.auth.models import User

    for name in ("afip", "stripe", "whatsapp"):
        resources.set_limit(ACTOR, name, {"max_in_flight": 2})
    panic.on(ACTOR, "whatsapp", reason="down")
    assert [one.name for one in resources.listed(ACTOR)] == ["whatsapp", "afip", "stripe"]
    assert [one.name for one in resources.listed(ACTOR, limit=1)] == ["whatsapp"]
    assert [one.name for one in resources.listed(ACTOR, search="TRI")] == ["stripe"]
    [asked] = resources.listed(ACTOR, ["new"])
    assert (asked.name, asked.snapshot.in_flight) == ("new", 0)
    with pytest.raises(PermissionDenied):
        resources.listed(Actor.of(User.objects.create_user("nobody"), AuditEntry.Surface.API))


def test_a_pause_closes_the_resource_in_every_queue(app: Celery, store: Store) -> None:
    for queue in ("bulk", "standard"):
        letters.publish(app, queue=queue, org="acme", resource="whatsapp")
        letters.publish(app, queue=queue, org="acme")
    resources.pause(ACTOR, "whatsapp", reason="their maintenance")
    assert store.resource_snapshot("whatsapp").gate == "pause"
    jobs = store.claim(["bulk", "standard"], 9, 0, "holder", 1).jobs
    assert sorted((job.queue, job.resource) for job in jobs) == [("bulk", ""), ("standard", "")]
    assert resources.resume(ACTOR, "whatsapp") is True
    assert resources.resume(ACTOR, "whatsapp") is False
    jobs = store.claim(["bulk", "standard"], 9, 0, "holder", 2).jobs
    assert [job.resource for job in jobs] == ["whatsapp", "whatsapp"]
    with pytest.raises(InvalidResource):
        resources.pause(ACTOR, "no spaces")
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", "target", "parameters")) == [
        ("pause", "resource whatsapp", {"reason": "their maintenance"}),
        ("resume", "resource whatsapp", {}),
        ("resume", "resource whatsapp", {}),
    ]


def test_a_pause_with_an_end_is_told_until_when(app: Celery, store: Store) -> None:
    until = timezone.now() + SOON
    resources.pause(ACTOR, "whatsapp", until=until)
    paused = store.resource_snapshot("whatsapp").paused
    assert paused is not None
    assert (paused.until_ms, paused.by) == (round(until.timestamp() * 1000), "maria")


def test_without_the_permission_nothing_changes(app: Celery, store: Store) -> None:
    from django.contrib.auth.models import User

    nobody = Actor.of(User.objects.create_user("nobody"), AuditEntry.Surface.API)
    Resource.objects.create(name="whatsapp", max_in_flight=2)
    for refused in (
        lambda: resources.set_limit(nobody, "whatsapp", {"max_in_flight": 3}),
        lambda: resources.set_limit(nobody, "stripe", {"max_in_flight": 3}),
        lambda: resources.reset_limit(nobody, "whatsapp"),
        lambda: resources.pause(nobody, "whatsapp"),
        lambda: resources.resume(nobody, "whatsapp"),
    ):
        with pytest.raises(PermissionDenied):
            refused()
    assert Resource.objects.get().max_in_flight == 2
    assert not AuditEntry.objects.exists()
