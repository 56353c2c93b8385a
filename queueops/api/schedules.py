"""Routes of schedules: list, show, add, enable, disable, run now."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from queueops.api.auth import Request
from queueops.api.fields import Body, Flag, IdPath, MaybeName, Moment, Seconds, Text, TextFilter
from queueops.api.jobs import Priority
from queueops.api.pages import Cursor, Limit
from queueops.api.routes import ADMIN, Routes
from queueops.api.shapes import Told, page, shape
from queueops.ops import schedules

routes = Routes("schedules")

Row = shape(schedules.ScheduleRow)
Switched = shape(schedules.Switched)


class NewSchedule(Body):
    """A schedule: just one of `cron`, `every_seconds` and `at` says when."""

    name: Annotated[str, Field(pattern=r"^[^\x00]+$", min_length=1, max_length=200)]
    task: Annotated[str, Field(pattern=r"^[^\x00]+$", min_length=1, max_length=200)]
    cron: Text = Field("", description="Minute, hour, day of the month, month, day of the week.")
    zone: Text = ""
    every_seconds: Seconds | None = None
    at: Moment | None = None
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    queue: MaybeName = ""
    org: MaybeName = ""
    resource: MaybeName = ""
    priority: Priority | None = None
    enabled: Flag = True


@routes.get("schedules", page(Row))
def listed(request: Request, search: TextFilter = "", cursor: Cursor = "", limit: Limit = 100) -> Any:
    """List schedules by name."""
    found = schedules.listed(request.auth.actor, search=search, limit=limit, after=cursor)
    return {"items": found, "next": found[-1].name if len(found) == limit else None}


@routes.post("schedules", Row, ADMIN, status=201)
def add(request: Request, body: NewSchedule) -> Any:
    """Make a schedule."""
    given = body.dict(exclude={"name", "task", "every_seconds"})
    return schedules.add(request.auth.actor, body.name, body.task, every=body.every_seconds, **given)


@routes.get("schedules/{schedule}", Row)
def shown(request: Request, schedule: IdPath) -> Any:
    """Tell all of one schedule."""
    return schedules.shown(request.auth.actor, schedule)


@routes.post("schedules/{schedule}/enable", Switched)
def enable(request: Request, schedule: IdPath) -> Any:
    """Have a schedule send jobs from now on."""
    return schedules.enable(request.auth.actor, [schedule])


@routes.post("schedules/{schedule}/disable", Switched)
def disable(request: Request, schedule: IdPath) -> Any:
    """Have a schedule send nothing until it is enabled."""
    return schedules.disable(request.auth.actor, [schedule])


@routes.post("schedules/{schedule}/run-now", Told)
def run_now(request: Request, schedule: IdPath) -> Any:
    """Send a job of a schedule now, beside its times."""
    sent = schedules.run_now(request.auth.actor, [schedule])
    return Told(message=f"Sent job {', '.join(sent)}.", count=len(sent))
