"""Routes of jobs: submit, list, info, explain, wait, overdue, stuck, and what is done to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Query
from pydantic import Field

from queueops.api.auth import Request
from queueops.api.fields import (
    INTEGRAL,
    Body,
    Flag,
    MaybeName,
    Moment,
    NameFilter,
    Seconds,
    TaskId,
    TaskIds,
    Text,
    TextFilter,
)
from queueops.api.pages import Cursor, Limit, number, sliced
from queueops.api.routes import Routes
from queueops.api.shapes import page, shape
from queueops.engine.job_types import JobRow
from queueops.engine.rules.states import JobState
from queueops.ops import events, jobs, leases
from queueops.ops.explaining import Explanation
from queueops.ops.job_info import JobInfo
from queueops.ops.submit import Submitted
from queueops.ops.submit import submit as enqueue

routes = Routes("jobs")

#: A list looks on for so long when hardly any job matches; `next` goes on.
_LOOK_SECONDS = 0.15

#: A request waits for the end of a job for so long at most; proxies give up on longer ones.
_LONGEST_WAIT = 30

#: 0 is sooner, 10 is later.
Priority = Annotated[int, Field(strict=True, ge=0, le=10), INTEGRAL]
State = Literal["", JobState.READY, JobState.SCHEDULED, JobState.BLOCKED, JobState.LEASED]


class Submit(Body):
    """A job; what is left out is as the task and the routes say."""

    task: Annotated[str, Field(pattern=r"^[^\x00]+$", min_length=1, max_length=255)]
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    queue: MaybeName = ""
    org: MaybeName = ""
    resource: MaybeName = ""
    priority: Priority | None = None
    eta: Moment | None = None
    countdown_seconds: Seconds | None = None
    deadline: Moment | None = None
    unique_key: Text = ""


class JobsChosen(Body):
    """The jobs that something is done to, by their task ids."""

    task_ids: TaskIds


class JobsReleased(JobsChosen):
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


@routes.post("jobs", shape(Submitted), status=201)
def submit(request: Request, body: Submit) -> Any:
    """Enqueue a job by the name of its task."""
    countdown = body.countdown_seconds
    return enqueue(
        request.auth.actor,
        countdown=None if countdown is None else countdown.total_seconds(),
        **body.dict(exclude={"countdown_seconds"}),
    )


@routes.post("jobs/cancel", shape(jobs.Cancelled))
def cancel(request: Request, body: JobsChosen) -> Any:
    """Cancel jobs: what waits is gone, what runs is stopped."""
    return jobs.cancel(request.auth.actor, body.task_ids)


@routes.post("jobs/hold", shape(jobs.Changed))
def hold(request: Request, body: JobsChosen) -> Any:
    """Hold jobs until they are released."""
    return jobs.hold(request.auth.actor, body.task_ids)


@routes.post("jobs/release", shape(jobs.Changed))
def release(request: Request, body: JobsReleased) -> Any:
    """Release jobs that are held, or (from_parents) wait for others."""
    return jobs.release(request.auth.actor, body.task_ids, from_parents=body.from_parents)


@routes.post("jobs/retry", shape(jobs.Changed))
def retry(request: Request, body: JobsChosen) -> Any:
    """Have jobs run now that wait for their time or their next attempt."""
    return jobs.retry(request.auth.actor, body.task_ids)


@routes.get("jobs/{task_id}", shape(JobInfo))
def info(request: Request, task_id: TaskId) -> Any:
    """Tell all that is known of a job, living or over."""
    return jobs.info(request.auth.actor, task_id)


@routes.get("jobs/{task_id}/wait", shape(JobInfo))
def wait(
    request: Request, task_id: TaskId, seconds: Annotated[int, Query(ge=0, le=_LONGEST_WAIT)] = 10
) -> Any:
    """Wait until a job is over, for so long at most, and tell what is known of it then."""
    return events.wait_for(request.auth.actor, task_id, seconds)


@routes.get("jobs/{task_id}/explain", shape(Explanation, leave_out=["snapshot"], add=["lines"]))
def explain(request: Request, task_id: TaskId) -> Any:
    """Explain why a job waits, and until when."""
    return jobs.explain(request.auth.actor, task_id)


@routes.post("jobs/{task_id}/unstick", shape(leases.Unstuck))
def unstick(request: Request, task_id: TaskId, body: Unstick) -> Any:
    """Stop a job that runs for too long, and give it back, or send it to the dead letters."""
    return leases.unstick(request.auth.actor, task_id, to=body.to)
