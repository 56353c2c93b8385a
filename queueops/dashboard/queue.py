"""One queue: who uses it, who waits and why, what runs, what fails."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse

from queueops.dashboard.drawing import points
from queueops.dashboard.page import NAMESPACE, Page, page
from queueops.ops import leases, orgs, stats, status, tasks, workers
from queueops.ops.permissions import VIEW_JOBS, Actor

__all__ = ["queue"]

_ORDERS = ("waiting", "share", "wait", "name")
_ROWS = 15


def _queue(request: HttpRequest, actor: Actor, *, name: str) -> Page:
    order = request.GET.get("order", "waiting")
    order = order if order in _ORDERS else "waiting"
    found = status.status(actor, name)
    [one] = found.queues
    history = points(stats.throughput(name))
    sees_jobs = actor.may(VIEW_JOBS)
    context = {
        "status": one,
        "series": history,
        "now": {"at": found.at.timestamp(), "waiting": one.queued, "running": one.running},
        "orgs": orgs.listed(actor, name, order=order, limit=_ROWS),  # type: ignore[arg-type]
        "order": order,
        "orders": _ORDERS,
        "workers": workers.listed(actor, name, current=0),
        "tasks": stats.by_task(name)[:_ROWS],
        "paused_tasks": tasks.paused().get(name, {}),
        "errors": stats.error_summary(name)[:_ROWS],
        "failures": stats.failures(name, limit=10) if sees_jobs else [],
        "slow": stats.slow_jobs(name, limit=10) if sees_jobs else [],
        "stuck": leases.stuck(actor, queue=name)[:_ROWS] if sees_jobs else [],
    }
    crumbs = (("Queues", reverse(f"{NAMESPACE}:overview")),)
    return Page("queue.html", name, context, "overview", crumbs, follows={"queue": name, "only": "snapshots"})


queue = page(_queue)
