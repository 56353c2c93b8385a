"""What is set, by whom, and without a secret."""

from __future__ import annotations

import json

import pytest
from celery import Celery
from django.core.checks import ERROR
from django.core.exceptions import PermissionDenied
from django.test import override_settings

from queueops import conf
from queueops.engine.rules import settings
from queueops.errors import ConfigurationError
from queueops.models import AuditEntry
from queueops.ops import configuration
from queueops.ops.permissions import Actor

ACTOR = Actor.shell("maria")


@pytest.fixture(autouse=True)
def fresh() -> object:
    yield
    conf.reset()


def found() -> dict[str, configuration.Setting]:
    shown = configuration.shown(ACTOR)
    by_name = {one.name: one for one in shown}
    assert len(by_name) == len(shown)
    json.dumps([one.value for one in shown], allow_nan=False)
    return by_name


def test_every_setting_is_there_with_its_value_and_its_source(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUE_TENANT_RPM_BULK", "60")
    monkeypatch.setenv("QUEUEOPS_LEASE_SECONDS", "40")
    own = {
        "QUEUES": {"bulk": {"concurrency": 7, "limits": {"burst": 3}}},
        "RESOURCES": {"stripe": {"rate": "10/s"}},
        "DELIVERY_LIMIT": 5,
    }
    with override_settings(QUEUEOPS=own, JOB_RETRY_POLICIES={"bulk": {"attempts": 9}}):
        conf.reset()
        shown = found()
    assert set(settings._SETTINGS) <= set(shown)
    told = {
        name: (shown[name].value, shown[name].source)
        for name in (
            *("DELIVERY_LIMIT", "LEASE_SECONDS", "CONCURRENCY", "QUEUES.bulk.concurrency"),
            *("QUEUES.bulk.fair_by", "QUEUES.bulk.limits.burst", "QUEUES.bulk.limits.rpm"),
            "RESOURCES.stripe.rate",
        )
    }
    assert told == {
        "DELIVERY_LIMIT": (5, "settings QUEUEOPS"),
        "LEASE_SECONDS": (40.0, "environment QUEUEOPS_LEASE_SECONDS"),
        "CONCURRENCY": (10, "default"),
        "QUEUES.bulk.concurrency": (7, "settings QUEUEOPS"),
        "QUEUES.bulk.fair_by": ("time", "default"),
        "QUEUES.bulk.limits.burst": (3, "settings QUEUEOPS"),
        "QUEUES.bulk.limits.rpm": (60.0, "environment QUEUE_TENANT_RPM_BULK"),
        "RESOURCES.stripe.rate": (600.0, "settings QUEUEOPS"),
    }
    policy = shown["RETRY_POLICIES.bulk"]
    assert (policy.value["attempts"], policy.source) == (9, "settings JOB_RETRY_POLICIES")


def test_settings_of_celery_say_who_has_set_them(app: Celery) -> None:
    app.conf.update(task_time_limit=30)
    shown = found()
    assert (shown["CELERY.task_time_limit"].value, shown["CELERY.task_time_limit"].source) == (
        30,
        "settings of Celery",
    )
    assert shown["CELERY.task_acks_late"] == configuration.Setting("CELERY.task_acks_late", True, "queueops")
    assert shown["CELERY.enable_utc"].source == "default"
    assert shown["CELERY.broker_url"].source == "settings of Celery"


def test_passwords_in_addresses_are_never_shown(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    app.conf.update(
        broker_url="queueops://:pa/ss@127.0.0.1:6379/0",
        result_backend="redis://user:hush@db:6379/1?password=secret",
        broker_transport_options={"sentinel_kwargs": {"password": "hush"}, "master_name": "m"},
    )
    shown = found()
    said = json.dumps([one.value for one in shown.values()])
    for secret in ("pa/ss", "hush", "=secret"):
        assert secret not in said
    assert shown["CELERY.broker_url"].value == "queueops://••••••@127.0.0.1:6379/0"
    assert shown["CELERY.broker_transport_options"].value["master_name"] == "m"
    monkeypatch.setenv("QUEUEOPS_BROKER_URL", "queueops://me:hush@broker/0")
    conf.reset()
    own = found()["BROKER_URL"]
    assert (own.value, own.source) == ("queueops://••••••@broker/0", "environment QUEUEOPS_BROKER_URL")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://hooks.chat.example/services/T0/B1/hush", "https://hooks.chat.example/••••••"),
        ("https://chat.example?key=hush", "https://chat.example/••••••"),
        ("https://me:hush@chat.example:8443/a/hush@x", "https://••••••@chat.example:8443/••••••"),
        ("https://chat.example/", "https://chat.example/"),
    ],
)
def test_what_a_webhook_is_known_by_is_never_shown(app: Celery, address: str, shown: str) -> None:
    with override_settings(QUEUEOPS={"ALERTS": {"webhook": address}}):
        conf.reset()
        assert found()["ALERTS"].value["webhook"] == shown


def test_a_setting_that_is_refused_is_named(app: Celery) -> None:
    with override_settings(QUEUEOPS={"LEASE_SECOND": 3}):
        conf.reset()
        with pytest.raises(ConfigurationError, match="LEASE_SECONDS"):
            configuration.shown(ACTOR)
        said = configuration.check(ACTOR, broker=False)
    assert next((one.id, one.level) for one in said) == ("queueops.E001", ERROR)


def test_the_checks_are_those_of_django_with_the_broker_on_request(app: Celery) -> None:
    said = configuration.check(ACTOR)
    assert all((one.id or "").startswith("queueops.") for one in said)
    assert not [one for one in said if one.level >= ERROR]
    app.conf.broker_url = "queueops://127.0.0.1:1/0"
    assert "queueops.W006" in {one.id for one in configuration.check(ACTOR)}
    assert "queueops.W006" not in {one.id for one in configuration.check(ACTOR, broker=False)}


def test_without_the_permission_nothing_is_shown(app: Celery) -> None:
    from django.contrib.auth.models import User

    nobody = Actor.of(User.objects.create_user("nobody"), AuditEntry.Surface.API)
    for refused in (configuration.shown, configuration.check):
        with pytest.raises(PermissionDenied, match="view_operations"):
            refused(nobody)
