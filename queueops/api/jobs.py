"""Routes of jobs: list, info, explain, overdue, stuck, and what is done to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Query

from queueops.api.auth import Request
from queueops.api.fields import Body, Flag, NameFilter, TaskId, TaskIds, TextFilter
from queueops.api.pages import Cursor, Limit, number, sliced
from queueops.api.routes import Routes
from queueops.api.shapes import page, shape
from queueops.engine.job_types import JobRow
from queueops.engine.rules.states import JobState
from queueops.ops import jobs, leases
from queueops.ops.explaining import Explanation
from queueops.ops.job_info import JobInfo

routes = Routes("jobs")

#: A list looks on for so long when hardly any job matches; `next` goes on.
_LOOK_SECONDS = 0.15

State = Literal["", JobState.READY, JobState.SCHEDULED, JobState.BLOCKED, JobState.LEASED]


class Chosen(Body):
    """The jobs that something is done to, by their task ids."""

    task_ids: TaskIds


class Released(Chosen):
    """Jobs to be released."""

    from_parents: Flag = False


class Unstick(Body):
    """Where a job goes that is unstuck."""

    to: Literal["lane", "dead"] = "lane"


@routes.get("jobs", page(shape(JobRow)))
def listed(
    request: Request,
    queue: NameFilter = "",
    state: State = "",
    org: NameFilter = "",
    task: TextFilter = "",
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Any:
    """List jobs that wait or run, in no order.

    A page may hold more or fewer than `limit`, also none, and still have a `next`.
    """
    found = jobs.listed(
        request.auth.actor,
        queue=queue,
        state=state,
        org=org,
        task=task,
        limit=limit,
        after=str(number(cursor) or 0),
        seconds=_LOOK_SECONDS,
    )
    return {"items": found.rows, "next": found.after}


@routes.get("overdue", page(shape(JobRow), name="OverduePage", count=int, now_ms=int))
def overdue(request: Request, queue: NameFilter = "", cursor: Cursor = "", limit: Limit = 100) -> Any:
    """List jobs past their deadline, the longest overdue first.

    `count` says how many this look has found, `next` where the next look goes on.
    """
    found = jobs.overdue(
        request.auth.actor,
        queue=queue,
        limit=limit,
        after=str(number(cursor) or 0),
        seconds=_LOOK_SECONDS,
    )
    return {"items": found.rows, "next": found.after, "count": found.count, "now_ms": found.now_ms}


@routes.get("stuck", page(shape(leases.Stuck)))
def stuck(
    request: Request,
    queue: NameFilter = "",
    minutes: Annotated[float, Query(ge=0, le=525_600, allow_inf_nan=False)] = 10.0,
    cursor: Cursor = "",
    limit: Limit = 100,
) -> Any:
    """List jobs that are leased for longer, or past their run limit; the longest first."""
    found = leases.stuck(request.auth.actor, minutes=minutes, queue=queue)
    return sliced(lambda most: found[:most], cursor, limit)


@routes.post("jobs/cancel", shape(jobs.Cancelled))
def cancel(request: Request, body: Chosen) -> Any:
    """Cancel jobs: what waits is gone, what runs is stopped."""
    return jobs.cancel(request.auth.actor, body.task_ids)


@routes.post("jobs/hold", shape(jobs.Changed))
def hold(request: Request, body: Chosen) -> Any:
    """Hold jobs until they are released."""
    return jobs.hold(request.auth.actor, body.task_ids)


@routes.post("jobs/release", shape(jobs.Changed))
def release(request: Request, body: Released) -> Any:
    """Release jobs that are held, or (from_parents) wait for others."""
    return jobs.release(request.auth.actor, body.task_ids, from_parents=body.from_parents)


@routes.post("jobs/retry", shape(jobs.Changed))
def retry(request: Request, body: Chosen) -> Any:
    """Have jobs run now that wait for their time or their next attempt."""
    return jobs.retry(request.auth.actor, body.task_ids)


@routes.get("jobs/{task_id}", shape(JobInfo))
def info(request: Request, task_id: TaskId) -> Any:
    """Tell all that is known of a job, living or over."""
    return jobs.info(request.auth.actor, task_id)


@routes.get("jobs/{task_id}/explain", shape(Explanation, leave_out=["snapshot"], add=["lines"]))
def explain(request: Request, task_id: TaskId) -> Any:
    """Explain why a job waits, and until when."""
    return jobs.explain(request.auth.actor, task_id)


@routes.post("jobs/{task_id}/unstick", shape(leases.Unstuck))
def unstick(request: Request, task_id: TaskId, body: Unstick) -> Any:
    """Stop a job that runs for too long, and give it back, or send it to the dead letters."""
    return leases.unstick(request.auth.actor, task_id, to=body.to)
