"""The rows of django-celery-beat as operators see them; it may not be installed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.apps import apps

from queueops.errors import MissingExtra, UnknownSchedule
from queueops.ops.masking import mask

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["ScheduleRow", "beat", "models", "row", "target", "told"]


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


def beat() -> ModuleType:
    """The part that needs django-celery-beat."""
    if not apps.is_installed("django_celery_beat"):
        raise MissingExtra("Schedules", "beat", "django_celery_beat")
    from queueops.ops import schedule_entry

    return schedule_entry


def models(schedules: Iterable[int | str]) -> list[Any]:
    """The rows of these numbers or names, each once.

    Raises:
        MissingExtra: django-celery-beat is not installed.
        UnknownSchedule: one of them is not known.
    """
    rows = beat().PeriodicTask.objects.select_related("interval", "crontab", "solar", "clocked")
    found: dict[int, Any] = {}
    for asked in schedules:
        named = isinstance(asked, str)
        fits = "\x00" not in asked if isinstance(asked, str) else 0 < asked < 2**31
        model = rows.filter(**({"name": asked} if named else {"pk": asked})).first() if fits else None
        if model is None:
            raise UnknownSchedule(asked)
        found[model.pk] = model
    return list(found.values())


def row(model: Any, now: datetime, payload: bool) -> ScheduleRow:
    """A row for the list; `payload`: with its arguments."""
    entry = beat()
    try:
        own = entry.own_options(model.headers)
    except entry.UNREADABLE:
        own = {}
    last_run_at = model.last_run_at  # making an entry puts another time in its place
    return ScheduleRow(
        id=model.pk,
        name=model.name,
        task=model.task,
        queue=model.queue or "",
        org=own.get("org", ""),
        resource=own.get("resource", ""),
        priority=model.priority,
        when=entry.in_words(model),
        enabled=model.enabled,
        last_run_at=last_run_at,
        next_run_at=entry.upcoming(model, now) if model.enabled else None,
        total_runs=model.total_run_count,
        one_off=model.one_off,
        expires_at=model.expires,
        args=mask(_read(model.args, [])) if payload else None,
        kwargs=mask(_read(model.kwargs, {})) if payload else None,
    )


def target(row: Any) -> str:
    """What the audit log calls a schedule, or a time that schedules share."""
    return f"schedule {row.name}" if isinstance(row, beat().PeriodicTask) else f"time {row}"


def told(row: Any) -> dict[str, Any]:
    """What the audit log keeps of a schedule; of a time, the schedules that have it."""
    if isinstance(row, beat().PeriodicTask):
        return {"task": row.task, "queue": row.queue or "", "enabled": row.enabled}
    return {"schedules": list(row.periodictask_set.order_by("name").values_list("name", flat=True)[:100])}


def _read(text: str | None, otherwise: Any) -> Any:
    try:
        found = json.loads(text or "null")
    except ValueError:
        return otherwise
    return found if isinstance(found, type(otherwise)) else otherwise
