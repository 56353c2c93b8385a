"""The verbs of one task by its name: pause, resume. The broker itself is the truth of these pauses."""

from __future__ import annotations

from datetime import datetime

from queueops.conf import config
from queueops.engine.types import Pause
from queueops.ops import audit, broker, permissions
from queueops.ops.pauses import milliseconds, told
from queueops.ops.permissions import Actor

__all__ = ["pause", "paused", "resume"]


def pause(
    actor: Actor, task: str, queue: str = "", *, until: datetime | None = None, reason: str = ""
) -> list[str]:
    """Set the jobs of a task aside as they come to the head of their lanes; return the queues concerned.

    Args:
        task: its name; nobody checks that there is one, for its jobs may come from elsewhere.
        queue: only in this queue; "" is in each that settings or broker know.
        until: when it opens by itself; None is until resumed.

    Raises:
        PermissionDenied: the actor may not pause tasks.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.PAUSE_TASK)
    with broker.store() as store:
        queues = [queue] if queue else sorted({*config().queues, *store.queues()})
        for name in queues:
            store.pause(name, task=task, until_ms=milliseconds(until), by=actor.name, reason=reason)
    audit.record(actor, "pause", _target(task, queue), told(until=until, reason=reason), len(queues))
    return queues


def resume(actor: Actor, task: str, queue: str = "") -> list[str]:
    """Let the task's jobs run again, with the rank they had; return the queues in which it was paused.

    Raises what `pause` raises.
    """
    actor.require(permissions.PAUSE_TASK)
    with broker.store() as store:
        queues = [queue] if queue else sorted({*config().queues, *store.queues()})
        opened = [name for name in queues if store.resume(name, task=task)]
    audit.record(actor, "resume", _target(task, queue), count=len(opened))
    return opened


def paused() -> dict[str, dict[str, Pause]]:
    """The tasks that are paused, by queue. Raises BrokerUnavailable."""
    with broker.store() as store:
        queues = sorted({*config().queues, *store.queues()})
        return {queue: found for queue in queues if (found := store.paused_tasks(queue))}


def _target(task: str, queue: str) -> str:
    return f"task {task} in {queue or 'all queues'}"
