"""Schedules by hand: listed, shown, added, switched and run; what beat could not send is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from django.apps import apps
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from django_celery_beat.models import (
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)

from queueops.errors import (
    BrokerUnavailable,
    InvalidOrg,
    InvalidPriority,
    InvalidResource,
    MissingExtra,
    QueueOpsError,
    ScheduleRefused,
    UnknownQueue,
    UnknownSchedule,
    UnknownTask,
)
from queueops.models import AuditEntry
from queueops.ops import broker, messages, schedules
from queueops.ops.permissions import Actor
from tests.support import letters, site
from tests.support.valkey import Valkey

ACTOR = Actor.shell("maria")
HOURLY = timedelta(hours=1)


def note(number: int = 0, token: str = "") -> None: ...


@pytest.fixture
def entries(app: Celery) -> Iterator[Celery]:
    app.task(name="shop.note", shared=False)(note)
    PeriodicTask.objects.all().delete()
    yield app
    PeriodicTask.objects.all().delete()


def person(*codenames: str) -> Actor:
    from django.contrib.auth.models import Permission, User

    user = User.objects.create_user("-".join(codenames) or "nobody")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return Actor.of(user, AuditEntry.Surface.API)


def add(name: str = "nightly", **given: Any) -> schedules.ScheduleRow:
    when = {} if {"cron", "every", "at"} & given.keys() else {"every": HOURLY}
    return schedules.add(ACTOR, name, "shop.note", **{**when, **given})


def test_a_schedule_by_the_clock_is_made_with_all_that_was_said(entries: Celery) -> None:
    row = add(
        cron="30 2 * * mon-fri", zone="Europe/Berlin", args=[5], kwargs={"token": "hush"},
        queue="bulk", org="acme", priority="LOW", resource="stripe",
    )  # fmt: skip
    assert (row.name, row.task, row.queue, row.org, row.resource) == (
        "nightly", "shop.note", "bulk", "acme", "stripe",
    )  # fmt: skip
    assert (row.priority, row.when, row.enabled, row.one_off) == (
        8,
        "30 2 * * mon-fri Europe/Berlin",
        True,
        False,
    )
    assert (row.args, row.kwargs) == ([5], {"token": "••••••"})
    assert row.next_run_at is not None
    assert row.next_run_at > timezone.now() and row.next_run_at.minute == 30
    assert (row.last_run_at, row.total_runs) == (None, 0)
    assert schedules.shown(ACTOR, "nightly") == schedules.shown(ACTOR, row.id)
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.target, entry.surface) == ("add", "schedule nightly", "cli")
    assert "hush" not in json.dumps(entry.parameters)
    assert PeriodicTasks.last_change() is not None, "beat is told"


@pytest.mark.parametrize(
    ("every", "when"),
    [
        (HOURLY, "every hour"),
        (90, "every 90 seconds"),
        (timedelta(minutes=10), "every 10 minutes"),
        (86_400.0, "every day"),
    ],
)
def test_an_interval_is_said_in_its_largest_unit(entries: Celery, every: Any, when: str) -> None:
    row = add(every=every)
    assert row.when == when
    assert row.next_run_at is not None and row.next_run_at > timezone.now()


def test_schedules_of_one_time_share_its_row(entries: Celery) -> None:
    for name in ("a", "b"):
        add(name, cron="0 3 * * *")
        add(name + "2", every=7)
    assert CrontabSchedule.objects.filter(hour="3", minute="0").count() == 1
    assert IntervalSchedule.objects.filter(every=7).count() == 1


def test_once_at_a_time_is_one_off(entries: Celery) -> None:
    at = datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)
    row = add(at=at)
    assert (row.one_off, row.when, row.next_run_at) == (True, "once at 2099-01-02 03:04:05 UTC", at)
    assert add("naive", at=datetime(2099, 1, 1)).next_run_at is not None


def test_a_schedule_that_is_added_disabled_has_no_next_time(entries: Celery) -> None:
    assert add(enabled=False).next_run_at is None


def test_a_time_that_is_due_and_was_not_sent_is_the_next_one(entries: Celery) -> None:
    row = add(cron="0 3 * * *")
    missed = timezone.now() - timedelta(days=2)
    PeriodicTask.objects.filter(pk=row.id).update(last_run_at=missed, total_run_count=3)
    shown = schedules.shown(ACTOR, row.id)
    assert shown.next_run_at is not None and missed < shown.next_run_at < timezone.now()
    assert (shown.last_run_at, shown.total_runs) == (missed, 3)


def test_what_is_over_has_no_next_time(entries: Celery) -> None:
    past = timezone.now() - timedelta(days=1)
    once = add("once", at=past)
    assert once.next_run_at == past, "nobody has sent it yet"
    PeriodicTask.objects.filter(pk=once.id).update(last_run_at=past)
    assert schedules.shown(ACTOR, "once").next_run_at is None
    expired = add("expired")
    PeriodicTask.objects.filter(pk=expired.id).update(expires=past)
    assert schedules.shown(ACTOR, "expired").next_run_at is None


def test_rows_that_somebody_else_made_are_shown_and_not_touched(entries: Celery) -> None:
    sun = SolarSchedule.objects.create(event="sunset", latitude=52, longitude=13)
    PeriodicTask.objects.create(name="sun", task="x", solar=sun)
    hourly = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.create(name="broken", task="x", interval=hourly)
    PeriodicTask.objects.filter(name="broken").update(args="{", kwargs="[1]")
    for name, headers in (("list", "[1]"), ("text", "{")):
        PeriodicTask.objects.create(name=name, task="x", interval=hourly)
        PeriodicTask.objects.filter(name=name).update(headers=headers)
    PeriodicTask.objects.create(
        name="later", task="x", interval=hourly, start_time=datetime(2099, 1, 1, tzinfo=UTC)
    )
    rows = {row.name: row for row in schedules.listed(ACTOR)}
    # Without the package that knows where the sun is
    assert "52" in rows["sun"].when and rows["sun"].next_run_at is None
    never = CrontabSchedule.objects.create(minute="0", hour="0", day_of_month="30", month_of_year="2")
    PeriodicTask.objects.create(name="never", task="x", crontab=never)
    assert schedules.shown(ACTOR, "never").next_run_at is None
    for name in ("sun", "never", "list", "text"):
        with pytest.raises(ScheduleRefused, match=f"Schedule {name} cannot be sent"):
            schedules.run_now(ACTOR, [name])
    assert (rows["broken"].args, rows["broken"].kwargs) == ([], {})
    assert rows["list"].next_run_at is rows["text"].next_run_at is None
    assert PeriodicTask.objects.get(name="broken").enabled, "looking at it changes nothing"
    assert rows["later"].next_run_at == datetime(2099, 1, 1, tzinfo=UTC)


def test_schedules_are_listed_by_name_in_pages_and_found_by_a_text(entries: Celery) -> None:
    for name in ("c", "a", "b"):
        add(name)
    PeriodicTask.objects.filter(name="b").update(task="other.task")
    assert [row.name for row in schedules.listed(ACTOR)] == ["a", "b", "c"]
    assert [row.name for row in schedules.listed(ACTOR, limit=2)] == ["a", "b"]
    assert [row.name for row in schedules.listed(ACTOR, after="b")] == ["c"]
    assert [row.name for row in schedules.listed(ACTOR, search="OTHER")] == ["b"]
    assert schedules.listed(ACTOR, search="a\x00") == []


def test_arguments_are_shown_only_to_those_who_may_see_payloads(entries: Celery) -> None:
    add(args=[1])
    [row] = schedules.listed(person("view_operations"))
    assert (row.args, row.kwargs) == (None, None)


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        ({"name": ""}, ScheduleRefused, "1 to 200"),
        ({"name": "x" * 201}, ScheduleRefused, "1 to 200"),
        ({"name": "a\nb"}, ScheduleRefused, "printable"),
        ({"task": "shop.notes"}, UnknownTask, "Did you mean shop.note"),
        ({"cron": "* * * * *", "every": 5}, ScheduleRefused, "Just one"),
        ({"every": None}, ScheduleRefused, "Just one"),
        ({"cron": "* * *"}, ScheduleRefused, "five fields.*not 3"),
        ({"cron": "61 * * * *"}, ScheduleRefused, "cannot be read"),
        ({"cron": "x * * * *"}, ScheduleRefused, "cannot be read"),
        ({"cron": "*/0 * * * *"}, ScheduleRefused, "cannot be read|names no time"),
        ({"cron": "0 0 30 2 *"}, ScheduleRefused, "names no time"),
        ({"cron": "0 3 * * *", "zone": "Mars/Base"}, ScheduleRefused, "No time zone"),
        ({"cron": "0 3 * * *", "zone": "../etc"}, ScheduleRefused, "No time zone"),
        ({"every": 0}, ScheduleRefused, "1 second to a year"),
        ({"every": float("nan")}, ScheduleRefused, "1 second to a year"),
        ({"every": 1.5}, ScheduleRefused, "whole number"),
        ({"every": timedelta(days=400)}, ScheduleRefused, "1 second to a year"),
        ({"queue": "nowhere"}, UnknownQueue, "not declared"),
        ({"org": "no org"}, InvalidOrg, "refused"),
        ({"resource": "no resource"}, InvalidResource, "refused"),
        ({"priority": 11}, InvalidPriority, "allowed"),
        ({"args": [object()]}, ScheduleRefused, "args cannot be written as JSON"),
        ({"kwargs": {"x": float("nan")}}, ScheduleRefused, "kwargs cannot be written as JSON"),
    ],
)
def test_what_beat_could_not_send_is_refused(
    entries: Celery, given: dict[str, Any], error: type[QueueOpsError], why: str
) -> None:
    known: dict[str, Any] = {"name": "nightly", "task": "shop.note"}
    if not {"cron", "every"} & given.keys():
        known["every"] = HOURLY
    asked = {**known, **given}
    with pytest.raises(error, match=why):
        schedules.add(ACTOR, asked.pop("name"), asked.pop("task"), **asked)
    assert not PeriodicTask.objects.exists() and not AuditEntry.objects.exists()


def test_a_name_is_given_once(entries: Celery) -> None:
    add()
    with pytest.raises(ScheduleRefused, match="'nightly' already"):
        add()
    assert PeriodicTask.objects.count() == AuditEntry.objects.count() == 1


def test_schedules_are_disabled_and_enabled_by_number_or_name(entries: Celery) -> None:
    first, second = add("a"), add("b")
    assert schedules.disable(ACTOR, ["a", second.id, "a"]) == schedules.Switched(2, ("a", "b"))
    assert not PeriodicTask.objects.filter(enabled=True).exists()
    assert schedules.disable(ACTOR, ["a"]) == schedules.Switched(0, ())
    before = PeriodicTasks.last_change()
    assert schedules.enable(ACTOR, [first.id]).names == ("a",)
    assert PeriodicTasks.last_change() > before, "beat is told"
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", "target"))[2:] == [
        ("disable", "schedule a"), ("disable", "schedule b"), ("enable", "schedule a"),
    ]  # fmt: skip


def test_a_time_that_passed_while_it_was_disabled_is_not_made_up_for(entries: Celery) -> None:
    row = add(every=3600)
    PeriodicTask.objects.filter(pk=row.id).update(last_run_at=timezone.now() - timedelta(days=3))
    schedules.disable(ACTOR, [row.id])
    schedules.enable(ACTOR, [row.id])
    shown = schedules.shown(ACTOR, row.id)
    assert shown.next_run_at is not None and shown.next_run_at > timezone.now()


@pytest.mark.parametrize("unknown", ["nobody", 999_999, 2**70, -1, "a\x00b"])
def test_of_schedules_that_are_not_known_nothing_is_done(entries: Celery, unknown: int | str) -> None:
    add("a")
    for verb in (schedules.disable, schedules.enable, schedules.run_now):
        with pytest.raises(UnknownSchedule):
            verb(ACTOR, ["a", unknown])
    with pytest.raises(UnknownSchedule):
        schedules.shown(ACTOR, unknown)
    assert PeriodicTask.objects.get().enabled and AuditEntry.objects.count() == 1


def test_a_schedule_runs_now_beside_its_times(entries: Celery) -> None:
    add("a", args=[7], queue="bulk", org="acme", enabled=False)
    [task_id] = schedules.run_now(ACTOR, ["a"])
    with broker.store() as store:
        job = letters.claim(store, "bulk")
    assert (job.task_id, job.org, messages.read(job.message).args) == (task_id, "acme", [7])
    assert AuditEntry.objects.latest("pk").verb == "run_now"
    assert schedules.shown(ACTOR, "a").total_runs == 0


def test_a_schedule_whose_arguments_its_task_does_not_take_is_refused(entries: Celery) -> None:
    add("good")
    add("odd", args=[1, "two", 3])
    with pytest.raises(ScheduleRefused, match="Schedule odd cannot be sent"):
        schedules.run_now(ACTOR, ["good", "odd"])
    with broker.store() as store:
        assert store.queue_snapshot("standard").ready == 1
    assert AuditEntry.objects.latest("pk").target == "schedule good"


def test_with_the_broker_away_it_says_so(database: None) -> None:
    server = Valkey()
    with site.celery_app(server.broker_url) as app:
        app.task(name="shop.note", shared=False)(note)
        add("a")
        server.close()
        with pytest.raises(BrokerUnavailable):
            schedules.run_now(ACTOR, ["a"])
    PeriodicTask.objects.all().delete()
    assert AuditEntry.objects.count() == 1


def calls(actor: Actor) -> list[Any]:
    return [
        lambda: schedules.add(actor, "b", "shop.note", every=60),
        lambda: schedules.enable(actor, ["a"]),
        lambda: schedules.disable(actor, ["a"]),
        lambda: schedules.run_now(actor, ["a"]),
        lambda: schedules.listed(actor),
        lambda: schedules.shown(actor, "a"),
    ]


def test_without_the_permission_nothing_happens(entries: Celery) -> None:
    add("a")
    *changing, listed, shown = calls(person("view_operations"))
    for refused in changing:
        with pytest.raises(PermissionDenied, match="operate_schedule"):
            refused()
    assert listed() and shown()
    for refused in calls(person("operate_schedule"))[-2:]:
        with pytest.raises(PermissionDenied, match="view_operations"):
            refused()
    assert PeriodicTask.objects.count() == AuditEntry.objects.count() == 1


def test_without_the_extra_each_verb_says_what_to_install(
    entries: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = apps.is_installed
    monkeypatch.setattr(apps, "is_installed", lambda name: name != "django_celery_beat" and installed(name))
    for missing in calls(ACTOR):
        with pytest.raises(
            MissingExtra, match=r"pip install 'queueops\[beat\]' and add \"django_celery_beat\""
        ):
            missing()
