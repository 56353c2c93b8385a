"""Routes of queues, and of tasks by their name: pause, resume, drain."""

from __future__ import annotations

from typing import Any

from queueops.api.auth import Request
from queueops.api.fields import Body, Flag, Moment, Name, NamePath, Reason, Seconds, TaskPath
from queueops.api.routes import ADMIN, Routes
from queueops.api.shapes import Told, named, shape
from queueops.engine.types import Pause
from queueops.ops import permissions, queues, tasks

routes = Routes("queues")

#: A drain works for so long; `finished` says whether to ask again.
_DRAIN_SECONDS = 20.0


class Closing(Body):
    """A pause: until when (null: until resumed), and why."""

    until: Moment | None = None
    reason: Reason = ""


class Opening(Body):
    """A resume: at once, or gradually over so many seconds, a day at most."""

    ramp_seconds: Seconds | None = None


class TaskClosing(Closing):
    """A pause of a task: in one queue, or ("") in each."""

    queue: Name | None = None


class TaskOpening(Body):
    """A resume of a task: in one queue, or (null) in each."""

    queue: Name | None = None


class Draining(Body):
    """What becomes of the jobs that wait: exactly one of the three."""

    delay_seconds: Seconds | None = None
    until: Moment | None = None
    remove: Flag = False


@routes.post("queues/{queue}/pause", Told)
def pause(request: Request, queue: NamePath, body: Closing) -> Any:
    """Close a queue: what runs goes on, nothing starts."""
    queues.pause(request.auth.actor, queue, until=body.until, reason=body.reason)
    return Told(message=f"Queue {queue} is paused.", count=1)


@routes.post("queues/{queue}/resume", Told)
def resume(request: Request, queue: NamePath, body: Opening) -> Any:
    """Open a queue."""
    opened = queues.resume(request.auth.actor, queue, ramp=body.ramp_seconds)
    return Told(message=f"Queue {queue} {'is open' if opened else 'was open'}.", count=int(opened))


@routes.post("queues/{queue}/drain", shape(queues.Drained), ADMIN)
def drain(request: Request, queue: NamePath, body: Draining) -> Any:
    """Empty a queue of what waits: to a later time, or for good.

    Works for 20 seconds; until `finished` is true, the same request (with `until` of the answer) goes on.
    """
    return queues.drain(
        request.auth.actor,
        queue,
        delay=body.delay_seconds,
        until=body.until,
        remove=body.remove,
        seconds=_DRAIN_SECONDS,
    )


@routes.post("pause", Told)
def pause_all(request: Request, body: Closing) -> Any:
    """Close all queues."""
    closed = queues.pause_all(request.auth.actor, until=body.until, reason=body.reason)
    return Told(message=f"Paused: {', '.join(closed)}.", count=len(closed))


@routes.post("resume", Told)
def resume_all(request: Request, body: Opening) -> Any:
    """Open all queues that are paused."""
    opened = queues.resume_all(request.auth.actor, ramp=body.ramp_seconds)
    return Told(message=f"Resumed: {', '.join(opened) or 'none was paused'}.", count=len(opened))


@routes.get(
    "paused-tasks",
    named(named(shape(Pause))),
    permission=permissions.VIEW_OPERATIONS,
)
def paused_tasks(request: Request) -> Any:
    """Tell which tasks are paused, by queue."""
    return tasks.paused()


@routes.post("tasks/{task}/pause", Told)
def pause_task(request: Request, task: TaskPath, body: TaskClosing) -> Any:
    """Set the jobs of a task aside, in one queue or in each."""
    closed = tasks.pause(request.auth.actor, task, body.queue or "", until=body.until, reason=body.reason)
    return Told(message=f"Task {task} is paused in {', '.join(closed)}.", count=len(closed))


@routes.post("tasks/{task}/resume", Told)
def resume_task(request: Request, task: TaskPath, body: TaskOpening) -> Any:
    """Let the jobs of a task run again, with the rank they had."""
    opened = tasks.resume(request.auth.actor, task, body.queue or "")
    told = f"runs again in {', '.join(opened)}" if opened else "was paused nowhere"
    return Told(message=f"Task {task} {told}.", count=len(opened))
