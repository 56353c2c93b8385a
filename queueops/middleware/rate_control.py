"""Celery's `app.control.rate_limit`: changes a task's rate for all workers together, until they restart."""

from __future__ import annotations

from typing import Any

from celery.worker import control

from queueops.errors import QueueOpsError
from queueops.middleware import resources
from queueops.middleware.task_rates import task_rate, task_resource

__all__ = ["rate_limit"]

_celerys = control.rate_limit

_NO_RATE = (
    "set, but jobs carry a rate only where their publisher's code gives the task a rate_limit; "
    "limit the resource {} and publish with resource={!r}, or give the task one"
)
_HAS_RESOURCE = "set, but the task's jobs take the limits of its resource: give that one the rate"


@control.control_command(
    args=[("task_name", str), ("rate_limit", str)],
    signature="<task_name> <rate_limit (e.g., 5/s | 5/m | 5/h)>",
)
def rate_limit(state: Any, task_name: str, rate_limit: Any, **options: Any) -> Any:
    """Tell worker(s) to modify the rate limit for a task by type."""
    task = state.app.tasks.get(task_name)
    before = task_rate(task) if task is not None else 0.0
    answer = _celerys(state, task_name, rate_limit, **options)
    if "ok" not in answer:
        return answer
    name = task_resource(task_name)
    # Each worker that hears it publishes the same. A row of the resource still stands above it.
    try:
        with state.app.connection_for_write() as connection:
            store = getattr(connection.default_channel, "store", None)
            if store is None:
                return answer
            store.set_resources({name: resources.wanted().get(name)})
    except QueueOpsError as refused:
        return control.nok(str(refused))
    if getattr(task, "resource", None):
        return control.ok(_HAS_RESOURCE)
    return answer if before else control.ok(_NO_RATE.format(name, name))
