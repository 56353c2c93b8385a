"""The verbs of schedules (rows of django-celery-beat): listed, shown, add, enable, disable, run_now, and what
admin saves and deletes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import current_app
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from queueops.errors import ScheduleRefused
from queueops.middleware.draft import put
from queueops.ops import audit, permissions, schedule_rows
from queueops.ops.permissions import Actor
from queueops.ops.schedule_rows import ScheduleRow

__all__ = [
    "ScheduleRow",
    "Switched",
    "add",
    "delete_rows",
    "disable",
    "enable",
    "listed",
    "run_now",
    "save_row",
    "shown",
]

#: Schedules of a page at most.
MOST = 1_000


@dataclass(frozen=True, slots=True)
class Switched:
    """What enable or disable did: how many schedules it changed, and which."""

    count: int
    names: tuple[str, ...]


def listed(actor: Actor, *, search: str = "", limit: int = MOST, after: str = "") -> list[ScheduleRow]:
    """Schedules in the order of their names.

    Args:
        search: stands in the name or in the task's name, in any case.
        limit: 1 to 1,000.
        after: only names that come after this one: the last name of the page before.

    Raises:
        PermissionDenied: the actor may not see operations.
        MissingExtra: django-celery-beat is not installed.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    entries = schedule_rows.beat().PeriodicTask.objects.order_by("name")
    rows = entries.filter(name__gt=after.replace("\x00", ""))
    if search:
        text = search.replace("\x00", "\ufffd")
        rows = rows.filter(Q(name__icontains=text) | Q(task__icontains=text))
    rows = rows.select_related("interval", "crontab", "solar", "clocked")[: min(max(1, limit), MOST)]
    now, payload = timezone.now(), actor.may(permissions.VIEW_PAYLOAD)
    return [schedule_rows.row(model, now, payload) for model in rows]


def shown(actor: Actor, schedule: int | str) -> ScheduleRow:
    """One schedule, by its number or its name.

    Raises what `listed` raises, and UnknownSchedule.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    [model] = schedule_rows.models([schedule])
    return schedule_rows.row(model, timezone.now(), actor.may(permissions.VIEW_PAYLOAD))


def add(
    actor: Actor,
    name: str,
    task: str,
    *,
    cron: str = "",
    zone: str = "",
    every: timedelta | float | None = None,
    at: datetime | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    queue: str = "",
    org: str = "",
    priority: int | str | None = None,
    resource: str = "",
    enabled: bool = True,
) -> ScheduleRow:
    """Make a schedule. Just one of `cron`, `every` and `at` says when.

    Args:
        name: what it is called; no other schedule is.
        task: a registered task.
        cron: minute, hour, day of the month, month, day of the week, with blanks between.
        zone: time zone of `cron`; the project's where it is empty.
        every: seconds, or a timedelta.
        at: once, then.
        args, kwargs: of its jobs, in JSON's types.
        queue, org, priority, resource: of its jobs; what is left out is as the task says.

    Raises:
        PermissionDenied: the actor may not operate schedules.
        MissingExtra: django-celery-beat is not installed.
        UnknownTask, UnknownQueue, InvalidOrg, InvalidResource, InvalidPriority: its jobs would be refused.
        ScheduleRefused: the time cannot be read, or the name is taken.
    """
    actor.require(permissions.OPERATE_SCHEDULE)
    schedule_rows.beat()
    from queueops.ops.schedule_making import made

    model = made(
        name, task, cron, zone, every, at, args, dict(kwargs or {}), queue, org, priority, resource, enabled
    )
    row = schedule_rows.row(model, timezone.now(), actor.may(permissions.VIEW_PAYLOAD))
    told = {"task": task, "when": row.when, "queue": queue, "org": org, "args": list(args)}
    audit.record(actor, "add", f"schedule {name}", {**told, "kwargs": dict(kwargs or {})}, 1)
    return row


def save_row(actor: Actor, row: Any, changed: Sequence[str] = ()) -> None:
    """Save a row that was made or edited as a whole, and checked by its form.

    Args:
        row: a schedule, or a time that schedules share.
        changed: names of the fields that differ, for the audit entry.

    Raises:
        PermissionDenied: the actor may not operate schedules.
    """
    actor.require(permissions.OPERATE_SCHEDULE)
    verb, told = ("change", {"fields": sorted(changed)}) if row.pk else ("add", {})
    with transaction.atomic():
        row.save()
        audit.record(actor, verb, schedule_rows.target(row), {**schedule_rows.told(row), **told}, 1)


def delete_rows(actor: Actor, rows: Iterable[Any]) -> None:
    """Delete these rows; with a time also the schedules that have it. Jobs that were sent run on.

    Args:
        rows: schedules, or times that schedules share.

    Raises:
        PermissionDenied: the actor may not operate schedules.
    """
    actor.require(permissions.OPERATE_SCHEDULE)
    with transaction.atomic():
        for row in rows:
            audit.record(actor, "delete", schedule_rows.target(row), schedule_rows.told(row), 1)
            row.delete()


def enable(actor: Actor, schedules: Iterable[int | str]) -> Switched:
    """Have these schedules send jobs from now on. A time that has passed since is not made up for.

    Args:
        schedules: numbers or names.

    Raises:
        PermissionDenied: the actor may not operate schedules.
        MissingExtra: django-celery-beat is not installed.
        UnknownSchedule: one of them is not known; nothing was changed.
    """
    return _switch(actor, "enable", schedules, True)


def disable(actor: Actor, schedules: Iterable[int | str]) -> Switched:
    """Have these schedules send nothing until they are enabled. Jobs that were sent run on.

    Args and errors as for `enable`.
    """
    return _switch(actor, "disable", schedules, False)


def _switch(actor: Actor, verb: str, schedules: Iterable[int | str], enabled: bool) -> Switched:
    actor.require(permissions.OPERATE_SCHEDULE)
    changed = [model for model in schedule_rows.models(schedules) if model.enabled != enabled]
    for model in changed:
        model.enabled = enabled
        # By its own save: it tells beat that something has changed.
        model.save()
        audit.record(actor, verb, f"schedule {model.name}", count=1)
    return Switched(len(changed), tuple(model.name for model in changed))


def run_now(actor: Actor, schedules: Iterable[int | str]) -> list[str]:
    """Send a job of each of these schedules now, beside their times; return the task ids.

    Args:
        schedules: numbers or names.

    Raises:
        PermissionDenied: the actor may not operate schedules.
        MissingExtra: django-celery-beat is not installed.
        UnknownSchedule: one of them is not known; nothing was sent.
        ScheduleRefused, PublishError: a schedule is refused; those before it were sent.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.OPERATE_SCHEDULE)
    now, sent, beat = datetime.now(UTC), [], schedule_rows.beat()
    for model in schedule_rows.models(schedules):
        try:
            entry = beat.ScheduledEntry(model, app=current_app._get_current_object())
            drafted = entry.draft(now, kind="by hand")
        # Arguments that the task does not take are a TypeError, as where it is called.
        except beat.UNREADABLE as error:
            raise ScheduleRefused(f"Schedule {model.name} cannot be sent: {error}") from error
        put(drafted)
        audit.record(actor, "run_now", f"schedule {model.name}", {"task_id": drafted.job.task_id}, 1)
        sent.append(drafted.job.task_id)
    return sent
