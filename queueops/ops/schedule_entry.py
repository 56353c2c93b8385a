"""Entries of the schedule (rows of django-celery-beat): whose jobs they make, when they are due, and which.

What an entry says beyond django-celery-beat's columns, its org and its resource, stands in the entry's
message headers under `queueops`, so that no table has to be changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID, uuid5

from celery import schedules
from celery.beat import _evaluate_entry_args, _evaluate_entry_kwargs
from celery.exceptions import ImproperlyConfigured
from django.db.models import F, Q
from django_celery_beat.clockedschedule import clocked
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from queueops.engine.rules import priority as priorities
from queueops.engine.rules.cron import Cron
from queueops.middleware.draft import Draft, draft

__all__ = [
    "OPTIONS",
    "UNREADABLE",
    "ScheduledEntry",
    "in_words",
    "own_options",
    "upcoming",
    "with_own_options",
]

#: Options of a job that stand in an entry's headers.
OPTIONS = ("org", "resource")
#: What a row raises whose headers are no object, or whose schedule names no time, as the 30th of February, or
#: the sun without `ephem`.
UNREADABLE = (AttributeError, TypeError, ValueError, ImproperlyConfigured)
_NAMESPACE = UUID("2b7c0f3e-6c0d-4a58-9f0e-5d1c6a3b8e41")


def own_options(headers: str | None) -> dict[str, str]:
    """Return the org and the resource that an entry's headers (JSON) name."""
    given = json.loads(headers or "{}").get("queueops") or {}
    return {name: str(given[name]) for name in OPTIONS if given.get(name)}


def with_own_options(headers: str | None, options: Mapping[str, str]) -> str:
    """Return an entry's headers (JSON) with these in place of what it said of org and resource."""
    found = json.loads(headers or "{}")
    if not isinstance(found, dict):
        raise ValueError("headers are a JSON object")
    own = {key: value for key, value in (found.pop("queueops", None) or {}).items() if key not in OPTIONS}
    own |= {key: value for key, value in options.items() if value}
    return json.dumps({**found, "queueops": own} if own else found)


class ScheduledEntry(ModelEntry):
    """An entry whose due times are the same for whoever computes them."""

    def __init__(self, model: Any, app: Any = None) -> None:
        #: The base class puts another time in its place.
        self.never_ran = model.last_run_at is None
        super().__init__(model, app=app)
        headers = self.options["headers"]
        own = headers.pop("queueops", None) or {}
        self.options |= {name: own[name] for name in OPTIONS if own.get(name)}
        headers["celery_beat_task"] = True

    @classmethod
    def _unpack_options(cls, **options: Any) -> dict[str, Any]:
        # Of an entry in the settings: org and resource go where the row has them.
        own = {name: options.pop(name) for name in OPTIONS if options.get(name)}
        if options.get("priority") is not None:
            options["priority"] = priorities.parse(options["priority"], options.pop("scale", None))
        unpacked: dict[str, Any] = super()._unpack_options(**options)
        unpacked["headers"] = with_own_options(unpacked["headers"], own)
        return unpacked

    @cached_property
    def cron(self) -> Cron | None:
        """The entry's crontab in its zone, if it has one."""
        found = self.schedule
        if not isinstance(found, schedules.crontab):
            return None
        return Cron(
            minutes=frozenset(found.minute),
            hours=frozenset(found.hour),
            weekdays=frozenset(found.day_of_week),
            days=frozenset(found.day_of_month),
            months=frozenset(found.month_of_year),
            zone=found.tz,
        )

    @property
    def since(self) -> datetime:
        """The due time of the last job; what lies after it is still to be sent."""
        since: datetime = self.last_run_at
        return since if since.tzinfo else since.replace(tzinfo=UTC)

    def due(self, now: datetime) -> tuple[datetime | None, datetime]:
        """Return the latest due time that was not sent yet (None if there is none), and when to look again.

        Where several were missed, one job is sent for the latest of them.
        """
        model = self.model
        start: datetime | None = model.start_time
        if start is not None and now < start:
            return None, start
        if self.cron is not None:
            due = self.cron.last(now, self.since)
            if due is not None and start is not None and due < start:
                due = None
            return due, self.cron.next(now) or now + timedelta(days=1)
        if isinstance(self.schedule, clocked):
            at: datetime = self.schedule.clocked_time
            if at > now:
                return None, at
            return (at if self.never_ran or self.since < at else None), now + timedelta(days=1)
        if isinstance(self.schedule, schedules.schedule):
            return self._due_interval(now, self.schedule.run_every, start)
        return self._due_other(now)

    def _due_interval(
        self, now: datetime, every: timedelta, start: datetime | None
    ) -> tuple[datetime | None, datetime]:
        # On a grid that every process computes alike, so that a time has one name, however late it is sent.
        base = self.since
        if start is not None and base < start:
            base = start - every
        steps = (now - base) // every
        return (base + steps * every if steps > 0 else None), base + (steps + 1) * every

    def _due_other(self, now: datetime) -> tuple[datetime | None, datetime]:
        # The sun: the event after the last one, to the second.
        at = (now + self.schedule.remaining_estimate(self.since)).replace(microsecond=0)
        return (at, now + timedelta(seconds=1)) if at <= now else (None, at)

    def ends(self, now: datetime) -> bool:
        """Whether the entry's time is over."""
        return self.model.expires is not None and now >= self.model.expires

    def missed(self, due: datetime) -> bool:
        """Whether times before `due` were not sent either."""
        if self.cron is not None:
            return self.cron.last(due - timedelta(microseconds=1), self.since) is not None
        every = getattr(self.schedule, "run_every", None)
        return every is not None and self.model.start_time is None and due - self.since > every

    def draft(self, due: datetime, *, kind: str = "due") -> Draft:
        """Return the job for a due time; the same time gives the same task id and tag, whoever asks.

        Raises:
            PublishError: the entry's queue, org, priority or arguments are refused.
        """
        options = {key: value for key, value in self.options.items() if value is not None}
        name = str(
            uuid5(_NAMESPACE, f"{self.model.pk}\t{self.name}\t{due.astimezone(UTC).isoformat()}\t{kind}")
        )
        options["task_id"] = name
        options["headers"] = dict(options["headers"])
        task = self.app.tasks.get(self.task) or self.task
        args, kwargs = _evaluate_entry_args(self.args), _evaluate_entry_kwargs(self.kwargs)
        return draft(task, args, kwargs, options, app=self.app, tag=f"beat-{name}")

    @property
    def key(self) -> str:
        """What the broker calls the entry."""
        return f"{self.model.pk} {self.name}"

    def sent(self, due: datetime, *, count: int = 1) -> None:
        """Write down that the job of a due time was sent; an entry for one time is over then."""
        model = self.model
        over = {"enabled": False} if model.one_off and count else {}
        # By one statement and for a later time only: what a process writes that was away must not undo it.
        rows = PeriodicTask.objects.filter(pk=model.pk)
        rows.filter(Q(last_run_at__lt=due) | Q(last_run_at__isnull=True)).update(
            last_run_at=due, total_run_count=F("total_run_count") + count, **over
        )
        self.last_run_at, self.never_ran = due, False
        if over:
            model.enabled = False


class _Looked(ScheduledEntry):
    """An entry that is only looked at: what beat cannot read stays as it is."""

    def _disable(self, model: Any) -> None:
        pass


def upcoming(model: PeriodicTask, now: datetime) -> datetime | None:
    """The next time of a row, or the one that is due and was not sent; None where no time comes."""
    if model.scheduler is None or (model.expires is not None and now >= model.expires):
        return None
    try:
        entry = _Looked(model)
    except UNREADABLE:
        return None
    due, later = entry.due(now)
    if due is not None:
        return due
    if isinstance(entry.schedule, clocked):
        return later if entry.schedule.clocked_time > now else None
    if entry.cron is not None and (model.start_time is None or now >= model.start_time):
        return entry.cron.next(now)
    return later


def in_words(model: PeriodicTask) -> str:
    """When a row is due, as people read it."""
    if model.crontab:
        one = model.crontab
        fields = (one.minute, one.hour, one.day_of_month, one.month_of_year, one.day_of_week)
        return f"{' '.join(field.replace(' ', '') for field in fields)} {one.timezone}"
    if model.interval:
        return str(model.interval)
    if model.clocked:
        return f"once at {model.clocked.clocked_time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return str(model.solar) if model.solar else ""
