"""Makes a row of django-celery-beat of what a person says, and refuses what beat could not send."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from celery.schedules import ParseException, crontab_parser
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask

from queueops.conf import config
from queueops.engine.rules import priority as priorities
from queueops.engine.rules.values import NAME
from queueops.errors import InvalidOrg, InvalidResource, ScheduleRefused, UnknownQueue
from queueops.ops.registry import known_task
from queueops.ops.schedule_entry import UNREADABLE, with_own_options

__all__ = ["made"]

_CRON = {
    "minute": (60, 0),
    "hour": (24, 0),
    "day_of_month": (31, 1),
    "month_of_year": (12, 1),
    "day_of_week": (7, 0),
}
_PERIODS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
_LONGEST_SECONDS = 366 * 86_400


def made(
    name: str,
    task: str,
    cron: str,
    zone: str,
    every: timedelta | float | None,
    at: datetime | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    queue: str,
    org: str,
    priority: int | str | None,
    resource: str,
    enabled: bool,
) -> PeriodicTask:
    """The saved row; args and errors as for `schedules.add`."""
    if not name or len(name) > 200 or not name.isprintable():
        raise ScheduleRefused("A name is 1 to 200 printable characters.")
    if sum(bool(given) for given in (cron, every is not None, at is not None)) != 1:
        raise ScheduleRefused("Just one of cron, every and at says when it is due.")
    if queue and queue not in config().queues:
        raise UnknownQueue(queue, config().queues)
    if org and not NAME.fullmatch(org):
        raise InvalidOrg(org)
    if resource and not NAME.fullmatch(resource):
        raise InvalidResource(resource)
    row = PeriodicTask(
        name=name,
        task=known_task(task),
        args=_json("args", list(args)),
        kwargs=_json("kwargs", dict(kwargs)),
        queue=queue or None,
        priority=None if priority is None else priorities.parse(priority),
        headers=with_own_options(None, {"org": org, "resource": resource}),
        enabled=enabled,
        one_off=at is not None,
    )
    try:
        with transaction.atomic():
            if cron:
                row.crontab = _crontab(cron, zone)
            elif at is not None:
                row.clocked, _ = ClockedSchedule.objects.get_or_create(clocked_time=_moment(at))
            else:
                row.interval = _interval(every)
            row.full_clean(exclude=["interval", "crontab", "clocked", "solar", "headers"])
            row.save()
    except IntegrityError:
        raise ScheduleRefused(f"There is a schedule {name!r} already.") from None
    except ValidationError as refused:
        if "name" in getattr(refused, "error_dict", {}):
            raise ScheduleRefused(f"There is a schedule {name!r} already.") from None
        raise ScheduleRefused("; ".join(refused.messages)) from None
    return row


def _json(what: str, value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ScheduleRefused(f"{what} cannot be written as JSON: {error}.") from None


def _crontab(text: str, zone: str) -> CrontabSchedule:
    fields = text.split()
    if len(fields) != len(_CRON):
        raise ScheduleRefused(
            "A crontab has five fields (minute, hour, day of the month, month, day of the week), "
            f"not {len(fields)}."
        )
    try:
        for field, (name, (number, first)) in zip(fields, _CRON.items(), strict=True):
            if not crontab_parser(number, first).parse(field):
                raise ScheduleRefused(f"The {name} {field!r} names no time.")
    except (ParseException, ValueError, IndexError, ZeroDivisionError) as error:
        raise ScheduleRefused(f"The crontab {text!r} cannot be read: {error}.") from None
    try:
        found = ZoneInfo(zone) if zone else timezone.get_default_timezone()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScheduleRefused(f"No time zone is called {zone!r}.") from None
    spec = dict(zip(_CRON, fields, strict=True))
    row = CrontabSchedule.objects.filter(**spec, timezone=found).first() or CrontabSchedule(
        **spec, timezone=found
    )
    row.full_clean(exclude=["timezone"])
    try:
        _ = row.schedule
    except UNREADABLE as error:
        raise ScheduleRefused(f"The crontab {text!r} names no time: {error}") from None
    row.save()
    return row


def _interval(every: timedelta | float | None) -> IntervalSchedule:
    seconds = every.total_seconds() if isinstance(every, timedelta) else every
    if (
        not isinstance(seconds, int | float)
        or not math.isfinite(seconds)
        or not 1 <= seconds <= _LONGEST_SECONDS
    ):
        raise ScheduleRefused(f"An interval is 1 second to a year, not {every!r}.")
    if seconds % 1:
        raise ScheduleRefused("An interval is a whole number of seconds.")
    period, size = next((name, size) for name, size in _PERIODS.items() if seconds % size == 0)
    row = IntervalSchedule.objects.filter(every=int(seconds // size), period=period).first()
    return row or IntervalSchedule.objects.create(every=int(seconds // size), period=period)


def _moment(at: datetime) -> datetime:
    return at if at.tzinfo else timezone.make_aware(at)
