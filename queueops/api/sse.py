"""What happens, as server-sent events: for the dashboard, the API, and callers who wait for a job.

`GET ...?queue=&org=&task_id=&only=`; `Last-Event-ID` (or `last_id` in the query) goes on after a dropped
connection. Each message has the event's kind as its type and the event as JSON; see docs/events.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from queueops.errors import TooManyStreams, UnknownQueue
from queueops.models import AuditEntry
from queueops.ops import events
from queueops.ops.permissions import Actor
from queueops.ops.plain import plain

__all__ = ["HEARTBEAT_SECONDS", "response", "stream", "view"]

#: A comment is sent after so long without an event: proxies close what is silent for longer.
HEARTBEAT_SECONDS = 15.0
#: How long a client waits before it connects again.
RETRY_MS = 2_000

_FIRST = f"retry: {RETRY_MS}\n\n"
_BEAT = ": still here\n\n"
_ID = re.compile(r"\d{1,19}(-\d{1,19})?")


async def view(request: HttpRequest) -> HttpResponseBase:
    """The stream for the person who is logged in; 401 for nobody."""
    user = await request.auser()
    if not user.is_authenticated:
        return problem(401, "unauthenticated", "Log in first.")
    return await response(request, Actor.of(user, AuditEntry.Surface.DASHBOARD))


async def response(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """The stream for an actor: 403 without permission, 404 for an unknown queue, 503 when there are too many.

    Under ASGI the response costs no thread; under WSGI it occupies the one that serves the request.
    """
    try:
        return await sync_to_async(stream)(request, actor)
    except PermissionDenied as error:
        return problem(403, "permission-denied", str(error))
    except UnknownQueue as error:
        return problem(404, "unknown-queue", str(error))
    except TooManyStreams as error:
        refused = problem(503, "too-many-streams", str(error))
        refused["Retry-After"] = str(round(error.retry_after))
        return refused


def stream(request: HttpRequest, actor: Actor) -> StreamingHttpResponse:
    """The stream for an actor; raises what `events.opened` raises."""
    opened = events.opened(
        actor,
        queue=request.GET.get("queue", ""),
        org=request.GET.get("org", ""),
        task_id=request.GET.get("task_id", ""),
        last_id=_last_id(request),
        only=request.GET.get("only", ""),
    )
    body: Any = _Later(opened) if isinstance(request, ASGIRequest) else _Now(opened)
    answer = StreamingHttpResponse(body, content_type="text/event-stream")
    answer["Cache-Control"] = "no-cache, no-transform"
    answer["X-Accel-Buffering"] = "no"  # nginx would hold events back
    return answer


def problem(status: int, kind: str, detail: str) -> HttpResponse:
    """A problem document (RFC 9457); `kind` is the last part of its type."""
    body = {
        "type": f"urn:queueops:problem:{kind}",
        "title": kind.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
    }
    return HttpResponse(json.dumps(body), status=status, content_type="application/problem+json")


def _last_id(request: HttpRequest) -> str:
    given = request.headers.get("Last-Event-ID") or request.GET.get("last_id", "")
    return given if _ID.fullmatch(given) else ""  # what no stream has given out is as good as nothing


class _Body:
    """The messages of a stream. Django closes it when the client has gone, also one that never read."""

    def __init__(self, stream: events.Stream) -> None:
        self._stream = stream

    def close(self) -> None:
        self._stream.close()


class _Later(_Body):
    async def __aiter__(self) -> AsyncIterator[str]:
        yield _FIRST
        while not self._stream.is_over:
            event = await self._stream.next(HEARTBEAT_SECONDS)
            yield _BEAT if event is None else message(event)


class _Now(_Body):
    def __iter__(self) -> Iterator[str]:
        yield _FIRST
        while not self._stream.is_over:
            event = self._stream.wait(HEARTBEAT_SECONDS)
            yield _BEAT if event is None else message(event)


def message(event: events.Event) -> str:
    """An event as a message of the stream."""
    head = f"id: {event.id}\n" if event.id else ""
    body = {name: value for name, value in plain(event).items() if name not in ("id", "kind") and value != ""}
    return f"{head}event: {event.kind}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n"
