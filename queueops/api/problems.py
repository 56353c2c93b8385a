"""Every error as a problem document (RFC 9457): a stable type, a title, the status, and what to do.

Three answers tell whose turn it is: 422, the request does not fit the schema; 404, it names something that
is not known; 409, it was understood and is refused, by a rule or by the state of things.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable
from typing import Any

import redis
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from kombu.exceptions import OperationalError as BrokerError
from ninja import Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError
from pydantic import Field

from queueops import errors

__all__ = ["STATUSES", "FieldProblem", "Problem", "answer", "not_allowed", "problem"]

logger = logging.getLogger("queueops.api")

MEDIA_TYPE = "application/problem+json"
_PREFIX = "urn:queueops:problem:"

#: Seconds after which to come back, where the error itself does not know.
_BROKER_SECONDS, _DATABASE_SECONDS, _FULL_SECONDS = 5, 5, 30


class FieldProblem(Schema):
    """What is wrong with one part of the request."""

    field: str = Field(description="Where it is: body.task_ids.0, query.limit, path.queue.")
    detail: str


class Problem(Schema):
    """Why a request was not done."""

    type: str = Field(description="Names the kind of problem and never changes; programs look at this.")
    title: str
    status: int
    detail: str = Field(description="What happened this time, for people.")
    errors: list[FieldProblem] | None = Field(None, description="By field, where fields are what is wrong.")


class MomentRefused(errors.QueueOpsError):
    """This moment is too far away to work with."""


#: status -> when it is given; what each route may answer beside its success.
STATUSES = {
    400: "The body is not JSON.",
    401: "No valid token, and nobody logged in.",
    403: "The scope of the token, or a permission of its user, is missing.",
    404: "Something that the request names is not known, or not installed.",
    405: "The path has another method.",
    409: "The request was understood and is refused, by a rule or by the state of things.",
    413: "The body is too large.",
    422: "The request does not fit the schema; `errors` says where.",
    429: "The caller's rate is used up, or a queue is full; Retry-After says when to come back.",
    503: "The broker or the database does not answer; Retry-After says when to come back.",
}

_STATUS: dict[type[Exception], int] = {
    errors.QueueOpsError: 409,
    errors.UnknownJob: 404,
    errors.UnknownQueue: 404,
    errors.UnknownLetter: 404,
    errors.UnknownSchedule: 404,
    errors.UnknownTask: 404,
    errors.UnknownWorker: 404,
    errors.InvalidCursor: 404,
    errors.PayloadTooLarge: 413,
    errors.QueueFull: 429,
    errors.LimitReached: 429,
    errors.BrokerUnavailable: 503,
    errors.TooManyStreams: 503,
    errors.MissingExtra: 404,
    errors.ConfigurationError: 500,
}


def problem(
    status: int, kind: str, detail: str, *, retry_after: float | None = None, **members: Any
) -> HttpResponse:
    """A problem document. `kind` is the last part of its type; `retry_after` in seconds, rounded up."""
    body = {
        "type": _PREFIX + kind,
        "title": kind.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        **members,
    }
    response = JsonResponse(body, status=status, content_type=MEDIA_TYPE)
    if retry_after is not None:
        response["Retry-After"] = str(max(1, math.ceil(retry_after)))
    if status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="queueops"'
    return response


def answer(request: HttpRequest, error: Exception) -> HttpResponse:
    """The problem document of whatever a route has raised."""
    match error:
        case errors.QueueOpsError():
            return _own(request, error)
        case BrokerError() | redis.exceptions.ConnectionError() | redis.exceptions.TimeoutError():
            return problem(503, "broker-unavailable", str(error), retry_after=_BROKER_SECONDS)
        case OperationalError() | InterfaceError():
            logger.warning("The database does not answer: %s", error)
            return problem(
                503, "database-unavailable", "The database does not answer.", retry_after=_DATABASE_SECONDS
            )
        case PermissionDenied():
            return problem(403, "permission-denied", str(error) or "You may not do this.")
        case ValidationError():
            return _invalid(error)
        case AuthenticationError():
            return problem(401, "unauthenticated", "Send a valid token: Authorization: Bearer qo_…")
        case RequestDataTooBig():
            return problem(413, "payload-too-large", str(error))
        case RecursionError():
            return problem(422, "invalid-request", "The body is nested too deeply.")
        case Http404():
            return problem(404, "not-found", str(error) or "There is nothing here.")
        case HttpError():
            return problem(error.status_code, _HTTP_KINDS.get(error.status_code, "refused"), str(error))
    return _failed(request, error)


_HTTP_KINDS = {400: "malformed-body", 403: "permission-denied"}


def not_allowed(response: HttpResponseNotAllowed) -> HttpResponse:
    """The problem document of a method that the path does not have."""
    allowed = response["Allow"]
    found = problem(405, "method-not-allowed", f"Only {allowed} can be asked for here.")
    found["Allow"] = allowed
    return found


def _own(request: HttpRequest, error: errors.QueueOpsError) -> HttpResponse:
    status = next(_STATUS[cls] for cls in type(error).__mro__ if cls in _STATUS)
    if status == 500:
        return _failed(request, error)
    retry_after = {429: _FULL_SECONDS, 503: _BROKER_SECONDS}.get(status)
    if isinstance(error, errors.LimitReached):
        return problem(429, "rate-limited", str(error), retry_after=error.retry_after)
    retry_after = getattr(error, "retry_after", retry_after)
    # From its name: the class is as stable as what clients compare, and is not written down twice.
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(error).__name__).lower()
    return problem(status, kind, str(error), retry_after=retry_after)


def _invalid(error: ValidationError) -> HttpResponse:
    found = [{"field": _where(one["loc"]), "detail": one["msg"]} for one in error.errors]
    named = ", ".join(one["field"] for one in found[:5])
    return problem(422, "invalid-request", f"The request does not fit the schema: {named}.", errors=found)


def _where(location: Iterable[str | int]) -> str:
    # The body's own parameter has a name in Python only.
    parts = [str(part) for part in location]
    return ".".join(parts[:1] + parts[2:] if parts[:1] == ["body"] and len(parts) > 1 else parts)


def _failed(request: HttpRequest, error: Exception) -> HttpResponse:
    # Whoever collects errors hears of it as of any other failed view.
    got_request_exception.send(sender=None, request=request)
    logger.error("The API failed at %s %s", request.method, request.path, exc_info=error)
    return problem(500, "internal-error", "This is a fault of the server, and was logged.")
