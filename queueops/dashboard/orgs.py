"""Orgs: who waits, who uses how much of the workers, and the page of one org."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse

from queueops.conf import config
from queueops.dashboard.page import NAMESPACE, Page, page
from queueops.models import OrgLimit
from queueops.ops import orgs
from queueops.ops.permissions import Actor

__all__ = ["org", "org_list"]

_ORDERS = ("waiting", "share", "wait", "name")


def _org_list(request: HttpRequest, actor: Actor) -> Page:
    order = request.GET.get("order", "waiting")
    order = order if order in _ORDERS else "waiting"
    search, queue = request.GET.get("search", "").strip(), request.GET.get("queue", "")
    rows = orgs.listed(actor, queue or None, order=order, limit=100, search=search)  # type: ignore[arg-type]
    context = {
        "rows": rows,
        "order": order,
        "orders": _ORDERS,
        "search": search,
        "queue": queue,
        "queues": sorted(config().queues),
    }
    return Page("orgs.html", "Orgs", context, "orgs")


def _org(request: HttpRequest, actor: Actor, *, name: str) -> Page:
    found = orgs.stats(actor, name)
    rows = OrgLimit.objects.filter(org=name).order_by("queue", "id")
    context = {"stats": found, "org": name, "limit_rows": rows}
    crumbs = (("Orgs", reverse(f"{NAMESPACE}:orgs")),)
    return Page("org.html", name, context, "orgs", crumbs)


org_list, org = page(_org_list), page(_org)
