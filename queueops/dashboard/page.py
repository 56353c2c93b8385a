"""The frame of all pages: who may come in, what is told when something is away, and how a page is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django import db
from django.apps import apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse

from queueops.errors import BrokerUnavailable, QueueOpsError, UnknownJob, UnknownQueue
from queueops.models import AuditEntry
from queueops.ops import broker, permissions
from queueops.ops.permissions import Actor

__all__ = ["NAMESPACE", "Page", "Section", "actor_of", "guarded", "page", "sections"]

NAMESPACE = "queueops-dashboard"
#: What tells of a job; its page looks again after each.
_OF_A_JOB = ("enqueued", "started", "succeeded", "retrying", "dead", "recovered", "released", "cancelled")


@dataclass(frozen=True, slots=True)
class Section:
    """An entry of the navigation; shown to who has the permission."""

    name: str
    label: str
    permission: str


_SECTIONS = (
    Section("overview", "Queues", permissions.VIEW_OPERATIONS),
    Section("jobs", "Jobs", permissions.VIEW_JOBS),
    Section("letters", "Dead letters", permissions.VIEW_LETTERS),
    Section("orgs", "Orgs", permissions.VIEW_OPERATIONS),
    Section("resources", "Resources", permissions.VIEW_OPERATIONS),
    Section("workers", "Workers", permissions.VIEW_OPERATIONS),
    Section("schedules", "Schedules", permissions.VIEW_OPERATIONS),
    Section("audit", "Audit", permissions.VIEW_AUDIT),
    Section("doctor", "Doctor", permissions.VIEW_JOBS),
)


@dataclass(frozen=True, slots=True)
class Page:
    """What a view has found.

    Attributes:
        template: the file below queueops/dashboard/ that draws it.
        title: the heading.
        section: the entry of the navigation that it belongs to.
        crumbs: labels and addresses of the pages above it.
        live: whether the page is asked for again while somebody looks at it.
        follows: what it follows in the event stream, as the stream's query has it.
        status: the answer's HTTP status.
    """

    template: str
    title: str
    context: Mapping[str, Any] = field(default_factory=dict)
    section: str = ""
    crumbs: tuple[tuple[str, str], ...] = ()
    live: bool = True
    follows: Mapping[str, str] = field(default_factory=lambda: {"only": "snapshots"})
    status: int = 200


def page(view: Callable[..., Page]) -> Callable[..., HttpResponseBase]:
    """Make a page of a view that takes (request, actor, ...): for staff only, and never a bare 500.

    The verbs of the view check permissions. Who lacks one is told so, as is who asks for what is unknown,
    and everybody while the broker is away.
    """

    @wraps(view)
    def answer(request: HttpRequest, **given: Any) -> HttpResponse:
        actor = actor_of(request)
        try:
            with broker.shared():
                made = view(request, actor, **given)
        except PermissionDenied as refused:
            made = Page("told.html", "Not allowed", {"told": str(refused)}, live=False, status=403)
        except (UnknownJob, UnknownQueue, Http404) as unknown:
            made = Page("told.html", "Not found", {"told": str(unknown)}, live=False, status=404)
        except BrokerUnavailable as error:
            made = Page("broker_away.html", "The broker does not answer", {"told": str(error)}, status=503)
        except QueueOpsError as error:
            made = Page("told.html", "This did not work", {"told": str(error)}, live=False, status=400)
        return _drawn(request, actor, made)

    return guarded(answer)


def guarded(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Let only staff in, as admin does; without a database nobody can be known, and the page says that."""
    staff = admin.site.admin_view(view)

    @wraps(view)
    def answer(request: HttpRequest, **given: Any) -> HttpResponseBase:
        try:
            found: HttpResponseBase = staff(request, **given)
        except db.Error as error:
            away = {"told": str(error).partition("\n")[0]}
            return render(request, "queueops/dashboard/database_away.html", away, status=503)
        if _part(request) and found.status_code == 302:
            # The session has ended: the whole page goes to the login, not its live part.
            found = HttpResponse(status=204, headers={"HX-Refresh": "true"})
        return found

    return answer


def actor_of(request: HttpRequest) -> Actor:
    """The person behind a request to the dashboard."""
    return Actor.of(request.user, AuditEntry.Surface.DASHBOARD)


def sections(actor: Actor) -> list[tuple[Section, str]]:
    """The entries of the navigation that the actor may open, with their addresses."""
    beat = apps.is_installed("django_celery_beat")
    return [
        (one, reverse(f"{NAMESPACE}:{one.name}"))
        for one in _SECTIONS
        if actor.may(one.permission) and (beat or one.name != "schedules")
    ]


def _part(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def _drawn(request: HttpRequest, actor: Actor, made: Page) -> HttpResponse:
    here = request.get_full_path()
    template = f"queueops/dashboard/{made.template}"
    own = {"actor": actor, "page": made, "here": here, "body_template": template, "asked": {}}
    context = {**made.context, **own}
    if _part(request):
        answer = render(request, "queueops/dashboard/part.html", context, status=made.status)
    else:
        context |= {
            **admin.site.each_context(request),
            "title": made.title,
            "is_nav_sidebar_enabled": False,
            "sections": sections(actor),
            "stream": _stream(request, actor, made),
            "triggers": _triggers(made),
        }
        answer = render(request, "queueops/dashboard/frame.html", context, status=made.status)
    # One address, two bodies: a browser that goes back must not show the part alone.
    answer.headers["Vary"] = "HX-Request, Cookie"
    return answer


def _stream(request: HttpRequest, actor: Actor, made: Page) -> str:
    """The address of the page's event stream; empty where it has none, and then asks by itself."""
    # A WSGI server would give the stream a thread of its own for as long as the page is open.
    if not (made.live and isinstance(request, ASGIRequest) and actor.may(permissions.VIEW_OPERATIONS)):
        return ""
    return f"{reverse(f'{NAMESPACE}:events')}?{urlencode(made.follows)}"


def _triggers(made: Page) -> str:
    """After which events the page is asked for again."""
    kinds = ("snapshot", *(_OF_A_JOB if "task_id" in made.follows else ()))
    return ", ".join(f"sse:{kind} throttle:3s" for kind in kinds)
