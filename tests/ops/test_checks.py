"""`manage.py check` names what is wrong with the settings, and what to do."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery
from django.conf import settings
from django.core.checks import CheckMessage
from django.test import override_settings

from queueops import checks
from tests.support import site
from tests.support.valkey import Valkey


def nothing() -> None: ...


def ids(messages: list[CheckMessage]) -> list[str | None]:
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"QUEUE": {}}, ["queueops.E001"]),
        ({"MIDDLEWARE": ["queueops.middleware.retri.Retry"]}, ["queueops.E002"]),
        ({"MIDDLEWARE": ["builtins.dict"]}, ["queueops.E002"]),
        ({"MASK_KEYS": ["to(ken"]}, ["queueops.E003"]),
        ({"QUEUES": {"bulk": {"limits": {"burst": 5}}}}, ["queueops.W001"]),
        ({"QUEUES": {"bulk": {"limits": {"weight": 5000}}}}, ["queueops.E005"]),
        (
            {"MIDDLEWARE": [], "QUEUES": {"bulk": {"limits": {"rpm": 5, "weight": 2}, "max_ready": 9}}},
            ["queueops.W002", "queueops.W002", "queueops.W002"],
        ),
    ],
)
def test_settings_that_do_not_work_are_named(given: dict[str, Any], expected: list[str]) -> None:
    with override_settings(QUEUEOPS=given):
        assert ids(checks.check_settings(None)) == expected


def test_a_broker_of_another_transport_and_rates_of_each_worker_are_named(app: Celery) -> None:
    assert checks.check_celery(None) == []
    app.conf.worker_disable_rate_limits = False
    app.conf.broker_url = "redis://127.0.0.1/0"
    assert ids(checks.check_celery(None)) == ["queueops.W003", "queueops.W004"]


def test_a_schedule_that_every_beat_sends_is_named(app: Celery) -> None:
    assert checks.check_beat(None) == []
    app.conf.beat_scheduler = "django_celery_beat.schedulers:DatabaseScheduler"
    assert ids(checks.check_beat(None)) == ["queueops.W010"]
    app.conf.beat_scheduler = "queueops.ops.beat:Scheduler"
    assert checks.check_beat(None) == []


def test_options_of_tasks_that_do_not_work_are_named(app: Celery) -> None:
    assert checks.check_tasks(None) == []
    for name, options in {
        "both": {"resource": "whatsapp", "rate_limit": "5/s"},
        "unknown": {"resource": "no.such.module:function"},
        "unread": {"rate_limit": "often"},
        "fine": {"rate_limit": "5/s"},
    }.items():
        app.task(nothing, name=name, shared=False, **options)
    found = checks.check_tasks(None)
    assert ids(found) == ["queueops.W008", "queueops.E006", "queueops.E006"]
    assert [message.msg.split()[1] for message in found] == ["both", "unknown", "unread"]


def test_options_of_tasks_that_no_member_handles_are_named(app: Celery) -> None:
    app.task(nothing, name="alone", shared=False, unique=True, keep_for=60)
    assert checks.check_tasks(None) == []
    with override_settings(QUEUEOPS={"MIDDLEWARE": ["queueops.middleware.depends.Depends"]}):
        # Tasks of other files of this process may be registered too.
        [found] = [message for message in checks.check_tasks(None) if "Task alone" in message.msg]
    assert (found.id, found.msg) == (
        "queueops.E007",
        "Task alone has unique, which no member of the chain handles.",
    )


def test_sqlite_with_deferred_transactions_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks.check_database(None) == []
    monkeypatch.setitem(settings.DATABASES["default"], "OPTIONS", {})
    assert ids(checks.check_database(None)) == ["queueops.W005"]


def test_a_broker_that_may_throw_jobs_away_is_an_error_of_the_deployment(app: Celery, valkey: Valkey) -> None:
    assert checks.check_broker(None) == []
    valkey.client().config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert ids(checks.check_broker(None)) == ["queueops.E004"]
    finally:
        valkey.client().config_set("maxmemory-policy", "noeviction")


def test_a_broker_that_is_away_is_a_warning(database: None) -> None:
    server = Valkey()
    with site.celery_app(server.broker_url):
        server.close()
        assert ids(checks.check_broker(None)) == ["queueops.W006"]
