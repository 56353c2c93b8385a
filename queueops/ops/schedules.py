"""The verbs of schedules (rows of django-celery-beat): listed, shown, add, enable, disable, run_now."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from celery import current_app
from django.apps import apps
from django.db.models import Q
from django.utils import timezone

from queueops.errors import MissingExtra, ScheduleRefused, UnknownSchedule
from queueops.middleware.draft import put
from queueops.ops import audit, permissions
from queueops.ops.masking import mask
from queueops.ops.permissions import Actor

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["ScheduleRow", "Switched", "add", "disable", "enable", "listed", "run_now", "shown"]

#: Schedules of a page at most.
MOST = 1_000


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A schedule.

    Attributes:
        queue, org, resource, priority: of its jobs; "" and None: as the task says.
        when: in words: "30 2 * * * Europe/Berlin", "every 10 minutes", "once at 2026-12-01 08:00 UTC".
        next_run_at: its next time, or the one that is due since then and was not sent; None where no time
            comes or it is disabled.
        total_runs: jobs that were sent at its times.
        one_off: it is disabled after its next job. expires_at: nothing is sent after this.
        args, kwargs: with secrets masked; None for who may not see payloads.
    """

    id: int
    name: str
    task: str
    queue: str
    org: str
    resource: str
    priority: int | None
    when: str
    enabled: bool
    last_run_at: datetime | None
    next_run_at: datetime | None
    total_runs: int
    one_off: bool
    expires_at: datetime | None
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None


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
    rows = _beat().PeriodicTask.objects.filter(name__gt=after.replace("\x00", "")).order_by("name")
    if search:
        text = search.replace("\x00", "\ufffd")
        rows = rows.filter(Q(name__icontains=text) | Q(task__icontains=text))
    rows = rows.select_related("interval", "crontab", "solar", "clocked")[: min(max(1, limit), MOST)]
    now, payload = timezone.now(), actor.may(permissions.VIEW_PAYLOAD)
    return [_row(model, now, payload) for model in rows]


def shown(actor: Actor, schedule: int | str) -> ScheduleRow:
    """One schedule, by its number or its name.

    Raises what `listed` raises, and UnknownSchedule.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    [model] = _models([schedule])
    return _row(model, timezone.now(), actor.may(permissions.VIEW_PAYLOAD))


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
    _beat()
    from queueops.ops.schedule_making import made

    model = made(
        name, task, cron, zone, every, at, args, dict(kwargs or {}), queue, org, priority, resource, enabled
    )
    row = _row(model, timezone.now(), actor.may(permissions.VIEW_PAYLOAD))
    told = {"task": task, "when": row.when, "queue": queue, "org": org, "args": list(args)}
    audit.record(actor, "add", f"schedule {name}", {**told, "kwargs": dict(kwargs or {})}, 1)
    return row


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
    changed = [model for model in _models(schedules) if model.enabled != enabled]
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
    now, sent, beat = datetime.now(UTC), [], _beat()
    for model in _models(schedules):
        try:
            entry = beat.ScheduledEntry(model, app=current_app._get_current_object())
        except beat.UNREADABLE as error:
            raise ScheduleRefused(f"Schedule {model.name} cannot be read: {error}") from error
        drafted = entry.draft(now, kind="by hand")
        put(drafted)
        audit.record(actor, "run_now", f"schedule {model.name}", {"task_id": drafted.job.task_id}, 1)
        sent.append(drafted.job.task_id)
    return sent


def _beat() -> ModuleType:
    """The part that needs django-celery-beat."""
    if not apps.is_installed("django_celery_beat"):
        raise MissingExtra("Schedules", "beat", "django_celery_beat")
    from queueops.ops import schedule_entry

    return schedule_entry


def _models(schedules: Iterable[int | str]) -> list[Any]:
    rows = _beat().PeriodicTask.objects.select_related("interval", "crontab", "solar", "clocked")
    found: dict[int, Any] = {}
    for asked in schedules:
        named = isinstance(asked, str)
        fits = "\x00" not in asked if isinstance(asked, str) else 0 < asked < 2**31
        model = rows.filter(**({"name": asked} if named else {"pk": asked})).first() if fits else None
        if model is None:
            raise UnknownSchedule(asked)
        found[model.pk] = model
    return list(found.values())


def _row(model: Any, now: datetime, payload: bool) -> ScheduleRow:
    beat = _beat()
    own = beat.own_options(model.headers)
    last_run_at = model.last_run_at  # making an entry puts another time in its place
    return ScheduleRow(
        id=model.pk,
        name=model.name,
        task=model.task,
        queue=model.queue or "",
        org=own.get("org", ""),
        resource=own.get("resource", ""),
        priority=model.priority,
        when=beat.in_words(model),
        enabled=model.enabled,
        last_run_at=last_run_at,
        next_run_at=beat.upcoming(model, now) if model.enabled else None,
        total_runs=model.total_run_count,
        one_off=model.one_off,
        expires_at=model.expires,
        args=mask(_read(model.args, [])) if payload else None,
        kwargs=mask(_read(model.kwargs, {})) if payload else None,
    )


def _read(text: str | None, otherwise: Any) -> Any:
    try:
        found = json.loads(text or "null")
    except ValueError:
        return otherwise
    return found if isinstance(found, type(otherwise)) else otherwise
