"""Routes of how queues do now and did lately."""

from __future__ import annotations

from typing import Annotated, Any

from ninja import Query

from queueops.api.auth import Request
from queueops.api.fields import NameFilter, TextFilter
from queueops.api.pages import Cursor, Limit, sliced
from queueops.api.routes import Routes
from queueops.api.shapes import many, page, shape
from queueops.engine.history import HOURS_KEPT, HOURS_OF_SLOWEST, MINUTES_KEPT, Ended
from queueops.ops import permissions, stats, status

routes = Routes("stats")

Hours = Annotated[int, Query(ge=1, le=HOURS_KEPT)]
#: Attempts of which the broker keeps so many for each queue.
_KEPT = 1_000


@routes.get("stats", shape(status.Overview))
def overview(request: Request, queue: NameFilter = "") -> Any:
    """Tell how the queues do, or one of them: what waits and runs, the last hour, health."""
    return status.status(request.auth.actor, queue or None)


@routes.get("throughput", many(shape(stats.Point)), permission=permissions.VIEW_OPERATIONS)
def throughput(
    request: Request,
    queue: NameFilter = "",
    task: TextFilter = "",
    minutes: Annotated[int | None, Query(ge=1, le=MINUTES_KEPT)] = None,
    hours: Annotated[int | None, Query(ge=1, le=HOURS_KEPT)] = None,
) -> Any:
    """Tell what ended, a point a minute (the last hour by default), or with `hours` a point an hour."""
    if hours is None:
        return stats.throughput(queue or None, task, minutes=minutes or MINUTES_KEPT)
    return stats.throughput(queue or None, task, hours=hours)


@routes.get("tasks", page(shape(stats.Summary)), permission=permissions.VIEW_OPERATIONS)
def by_task(
    request: Request, queue: NameFilter = "", hours: Hours = 1, cursor: Cursor = "", limit: Limit = 100
) -> Any:
    """Tell what ended by queue and task, the busiest first."""
    found = stats.by_task(queue or None, hours=hours)
    return sliced(lambda most: found[:most], cursor, limit)


@routes.get("errors", page(shape(stats.ErrorGroup)), permission=permissions.VIEW_OPERATIONS)
def errors(
    request: Request, queue: NameFilter = "", hours: Hours = 1, cursor: Cursor = "", limit: Limit = 100
) -> Any:
    """Tell the failed attempts by queue and class of error, the most frequent first."""
    found = stats.error_summary(queue or None, hours=hours)
    return sliced(lambda most: found[:most], cursor, limit)


@routes.get("failures", page(shape(Ended)), permission=permissions.VIEW_JOBS)
def failures(request: Request, queue: NameFilter = "", cursor: Cursor = "", limit: Limit = 100) -> Any:
    """List the latest failed attempts, newest first; the last 1,000 of a queue are kept."""
    return sliced(lambda most: stats.failures(queue or None, limit=min(most, _KEPT)), cursor, limit)


@routes.get("slow-jobs", page(shape(Ended)), permission=permissions.VIEW_JOBS)
def slow_jobs(
    request: Request,
    queue: NameFilter = "",
    hours: Annotated[int, Query(ge=1, le=HOURS_OF_SLOWEST)] = 1,
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Any:
    """List the longest runs of this hour and those before it, longest first."""
    return sliced(
        lambda most: stats.slow_jobs(queue or None, limit=min(most, _KEPT), hours=hours), cursor, limit
    )
