"""`/metrics` of the web process."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from queueops.metrics.access import is_open_to
from queueops.metrics.exposition import exposition
from queueops.models import AuditEntry
from queueops.ops import permissions
from queueops.ops.permissions import Actor

__all__ = ["metrics"]


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape; 401 to who may not read it. A broker that is away is `queueops_up 0`, never an
    error.
    """
    actor = _reader(request)
    if actor is None:
        return HttpResponse(
            "Send the token of QUEUEOPS_METRICS_TOKEN as Authorization: Bearer, or log in to admin.\n",
            status=401,
            headers={"WWW-Authenticate": "Bearer"},
            content_type="text/plain; charset=utf-8",
        )
    body, content_type = exposition(actor, request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=content_type, headers={"Cache-Control": "no-store"})


def _reader(request: HttpRequest) -> Actor | None:
    headers = {name.lower(): value for name, value in request.headers.items()}
    if is_open_to(request.META.get("REMOTE_ADDR", ""), headers):
        return Actor.system("metrics")
    user = getattr(request, "user", None)  # a project may do without the middleware
    if user is None or not (user.is_active and user.is_staff):
        return None
    actor = Actor.of(user, AuditEntry.Surface.DASHBOARD)
    return actor if actor.may(permissions.VIEW_OPERATIONS) else None
