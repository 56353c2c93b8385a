"""Routes of workers and of how many slots a queue wants."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from queueops.api.auth import Request
from queueops.api.fields import INTEGRAL, Body, Moment, NameFilter, NamePath, Text
from queueops.api.pages import Cursor, Limit, sliced
from queueops.api.routes import Routes
from queueops.api.shapes import Told, many, page, shape
from queueops.ops import scaling, workers

routes = Routes("workers")

Workers = page(shape(workers.WorkerRow), name="Workers", num_workers=int, active_workers=int, running=int)
Answers = many(shape(workers.WorkerAnswer))


class Names(Body):
    """Workers by their names."""

    names: Annotated[list[Annotated[Text, Field(min_length=1)]], Field(min_length=1, max_length=1_000)]


class Scale(Body):
    """How many slots a queue has, until when (null: until somebody changes it)."""

    count: Annotated[int, Field(strict=True, ge=1, le=100_000), INTEGRAL]
    until: Moment | None = None


@routes.get(
    "workers",
    page(shape(workers.WorkerRow), name="Workers", num_workers=int, active_workers=int, running=int),
)
def listed(request: Request, queue: NameFilter = "", cursor: Cursor = "", limit: Limit = 100) -> Any:
    """List the registered workers by name.

    `num_workers` counts all, `active_workers` those that take jobs, `running` the jobs in their hands.
    """
    found = workers.listed(request.auth.actor, queue or None)
    return {
        "num_workers": len(found),
        "active_workers": sum(not (one.quiet or one.stopping) for one in found),
        "running": sum(one.jobs for one in found),
        **sliced(lambda most: found[:most], cursor, limit),
    }


@routes.post("workers/quiet", Answers)
def quiet(request: Request, body: Names) -> Any:
    """Have workers take no new job; what runs ends."""
    return workers.quiet(request.auth.actor, body.names)


@routes.post("workers/unquiet", Answers)
def unquiet(request: Request, body: Names) -> Any:
    """Have quiet workers take jobs again."""
    return workers.unquiet(request.auth.actor, body.names)


@routes.post("workers/restart", Answers)
def restart(request: Request, body: Names) -> Any:
    """Restart workers where that can be done; the answer says where it can not."""
    return workers.restart(request.auth.actor, body.names)


@routes.post("workers/stop", Answers)
def stop(request: Request, body: Names) -> Any:
    """Stop workers when their jobs have ended."""
    return workers.stop(request.auth.actor, body.names)


@routes.get("scaling", page(shape(scaling.Wanted)))
def wanted(request: Request, queue: NameFilter = "", cursor: Cursor = "", limit: Limit = 100) -> Any:
    """Tell how many slots each queue wants, and why."""
    found = scaling.wanted(request.auth.actor, queue or None)
    return sliced(lambda most: found[:most], cursor, limit)


@routes.post("queues/{queue}/scale", shape(scaling.Scaled))
def scale(request: Request, queue: NamePath, body: Scale) -> Any:
    """Have the live workers of a queue run so many jobs at once together."""
    return scaling.scale(request.auth.actor, queue, body.count, until=body.until)


@routes.post("queues/{queue}/unscale", Told)
def unscale(request: Request, queue: NamePath) -> Any:
    """End what scale has set; the rule holds again."""
    ended = scaling.unscale(request.auth.actor, queue)
    told = "follows its rule again" if ended else "followed its rule"
    return Told(message=f"Queue {queue} {told}.", count=int(ended))
