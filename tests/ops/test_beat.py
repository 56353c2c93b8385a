"""Beat: one leader, each due time once, over the changes of the clocks and over outages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from queueops.engine.types import Leased
from queueops.ops import beat, broker, messages
from queueops.ops.permissions import Actor
from queueops.ops.schedule_entry import own_options, with_own_options
from queueops.ops.schedules import run_now
from tests.support.polling import eventually

BERLIN = ZoneInfo("Europe/Berlin")


class Beat(beat.Scheduler):
    """A beat whose time the test moves."""

    time = datetime(2026, 3, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return type(self).time


def at(moment: datetime) -> None:
    Beat.time = moment.astimezone(UTC)


@pytest.fixture
def make(app: Celery) -> Iterator[Callable[[], Beat]]:
    app.conf.update(timezone="UTC", result_expires=None, beat_schedule={})
    PeriodicTask.objects.all().delete()
    made: list[Beat] = []

    def start() -> Beat:
        made.append(Beat(app=app))
        return made[-1]

    yield start
    for one in made:
        one.close()
    PeriodicTask.objects.all().delete()


def run(one: Beat, minutes: int, step: int = 1) -> None:
    """Let so many minutes pass, with a turn in each step of them."""
    for _ in range(0, minutes, step):
        one.tick()
        Beat.time += timedelta(minutes=step)


def sent(queue: str = "standard") -> list[Leased]:
    with broker.store() as store:
        return list(store.claim([queue], 500, 0, "beat-test", 1).jobs)


def entry(name: str = "entry", last: datetime | None = None, **fields: Any) -> PeriodicTask:
    made = PeriodicTask.objects.create(name=name, task="beat.note", **fields)
    # The columns that a save sets by itself.
    PeriodicTask.objects.filter(pk=made.pk).update(last_run_at=last or Beat.time, date_changed=Beat.time)
    return made


def cron(hour: str, minute: str = "0") -> CrontabSchedule:
    return CrontabSchedule.objects.create(hour=hour, minute=minute, timezone=BERLIN)


@pytest.mark.parametrize(
    ("month", "day", "walls"),
    [
        (3, 28, ["28 02:30", "29 03:30", "30 02:30"]),
        (10, 24, ["24 02:30", "25 02:30", "26 02:30"]),
    ],
)
def test_a_cron_entry_is_sent_once_a_day_over_both_changes_of_the_clocks(
    make: Callable[[], Beat], month: int, day: int, walls: list[str]
) -> None:
    at(datetime(2026, month, day, tzinfo=BERLIN))
    daily = entry(crontab=cron("2", "30"))
    one = make()
    found: list[str] = []
    while len(found) < 3:
        run(one, 30, step=10)
        row = PeriodicTask.objects.get(pk=daily.pk)
        if row.total_run_count > len(found):
            found.append(row.last_run_at.astimezone(BERLIN).strftime("%d %H:%M"))
    assert found == walls
    assert len(sent()) == 3


def test_every_quarter_of_an_hour_has_no_gap_and_no_double_at_a_change(make: Callable[[], Beat]) -> None:
    at(datetime(2026, 10, 25, 0, 59, tzinfo=BERLIN))
    entry(crontab=cron("*", "*/15"))
    run(make(), 4 * 60, step=3)
    assert len(sent()) == 16, "four hours of 60 minutes, though the clocks show three"


def test_two_beats_send_each_time_once_and_the_second_goes_on(make: Callable[[], Beat]) -> None:
    at(datetime(2026, 5, 1, tzinfo=UTC))
    entry(interval=IntervalSchedule.objects.create(every=1, period="minutes"))
    first, second = make(), make()
    for _ in range(5):
        for one in (first, second):
            one.tick()
        Beat.time += timedelta(minutes=1)
    assert first.lease and not second.lease
    first.close()
    run(second, 5)
    assert second.lease
    assert len(sent()) == 9


def test_a_beat_that_was_frozen_sends_nothing_that_another_has_sent(make: Callable[[], Beat]) -> None:
    at(datetime(2026, 5, 1, tzinfo=UTC))
    row = entry(interval=IntervalSchedule.objects.create(every=1, period="minutes"))
    stale, other = make(), make()
    stale.tick()
    Beat.time += timedelta(minutes=1)
    # It has looked at its lease and at the rows; then it stands still until the lease is another's.
    frozen = stale.schedule["entry"]
    due, _ = frozen.due(Beat.time)
    with broker.store() as store:
        store.lead_no_more("beat", stale.holder)
    other.tick()
    assert [job.queue for job in sent()] == ["standard"]
    with pytest.raises(beat.StaleLease):
        stale._send(frozen, due)
    stale.tick()
    assert not stale.lease and not sent()
    assert PeriodicTask.objects.get(pk=row.pk).total_run_count == 1


def test_a_leader_that_died_between_the_job_and_its_row_is_followed_by_no_second_job(
    make: Callable[[], Beat], monkeypatch: pytest.MonkeyPatch
) -> None:
    at(datetime(2026, 5, 1, tzinfo=UTC))
    row = entry(interval=IntervalSchedule.objects.create(every=1, period="minutes"))
    first = make()
    first.tick()
    Beat.time += timedelta(minutes=1)
    with monkeypatch.context() as patch:
        patch.setattr(beat.ScheduledEntry, "sent", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            first.tick()
    assert len(sent()) == 1
    with broker.store() as store:  # its job has ended, and the broker's memory of it with it
        store.client.delete(*store.client.keys("qo1:ended:*"), *store.client.keys("qo1:job:*"))
    first.close()
    make().tick()
    assert not sent()
    assert PeriodicTask.objects.get(pk=row.pk).total_run_count == 1, "it is written down after all"


def test_missed_times_are_made_good_by_one_job_for_the_latest(make: Callable[[], Beat]) -> None:
    at(datetime(2026, 5, 10, 12, tzinfo=BERLIN))
    row = entry(crontab=cron("3"), last=Beat.time - timedelta(days=4))
    run(make(), 2)
    assert len(sent()) == 1
    assert PeriodicTask.objects.get(pk=row.pk).last_run_at == datetime(2026, 5, 10, 3, tzinfo=BERLIN)


def test_once_at_a_time_and_a_time_that_has_passed_runs_now(make: Callable[[], Beat]) -> None:
    at(datetime(2026, 5, 1, tzinfo=UTC))
    soon = ClockedSchedule.objects.create(clocked_time=Beat.time + timedelta(minutes=3))
    past = ClockedSchedule.objects.create(clocked_time=Beat.time - timedelta(days=1))
    entry("soon", clocked=soon, one_off=True)
    entry("past", clocked=past, one_off=True)
    PeriodicTask.objects.update(last_run_at=None)
    one = make()
    run(one, 2)
    assert [job.task_id for job in sent()] and not PeriodicTask.objects.get(name="past").enabled
    run(one, 10)
    assert len(sent()) == 1
    assert not PeriodicTask.objects.get(name="soon").enabled


def test_an_entry_carries_org_queue_priority_and_resource(make: Callable[[], Beat], app: Celery) -> None:
    at(datetime(2026, 5, 1, tzinfo=UTC))
    every = IntervalSchedule.objects.create(every=1, period="minutes")
    headers = with_own_options('{"mine": 1}', {"org": "acme", "resource": "stripe"})
    assert own_options(headers) == {"org": "acme", "resource": "stripe"}
    entry(interval=every, queue="bulk", priority=1, headers=headers, args="[5]")
    app.conf.beat_schedule = {
        "set": {
            "task": "beat.note",
            "schedule": 60.0,
            "options": {"org": "globex", "resource": "afip", "priority": "HIGH", "queue": "bulk"},
        }
    }
    one = make()
    PeriodicTask.objects.filter(name="set").update(last_run_at=Beat.time)
    one._look_at, one._initial_read = {}, True
    Beat.time += timedelta(minutes=1)
    one.tick()
    found = {job.org: job for job in sent("bulk")}
    assert {org: job.resource for org, job in found.items()} == {"acme": "stripe", "globex": "afip"}
    message = messages.read(found["acme"].message)
    assert message.args == [5] and message.own["priority"] == 1 and message.headers["mine"] == 1
    assert message.headers["periodic_task_name"] == "entry"
    assert messages.read(found["globex"].message).own["priority"] == 1


def test_an_entry_that_is_refused_holds_no_other_back_and_goes_when_it_is_mended(
    make: Callable[[], Beat],
) -> None:
    at(datetime(2026, 5, 1, tzinfo=UTC))
    every = IntervalSchedule.objects.create(every=1, period="hours")
    bad = entry("bad", interval=every, queue="nowhere")
    entry("good", interval=every)
    one = make()
    one.tick()
    Beat.time += timedelta(hours=1)
    run(one, 3)
    assert len(sent()) == 1
    mended = PeriodicTask.objects.get(pk=bad.pk)
    mended.queue = "standard"
    mended.save()
    eventually(lambda: run(one, 1) or sent(), within=10, what="the mended entry's job")
    assert PeriodicTask.objects.get(pk=bad.pk).total_run_count == 1


def test_an_entry_is_run_now_beside_its_times(make: Callable[[], Beat]) -> None:
    at(datetime(2026, 5, 1, tzinfo=UTC))
    row = entry(crontab=cron("3"), headers=with_own_options(None, {"org": "acme"}))
    [task_id] = run_now(Actor.shell("maria"), [row.pk])
    [job] = sent()
    assert (job.task_id, job.org) == (task_id, "acme")
    assert PeriodicTask.objects.get(pk=row.pk).total_run_count == 0
