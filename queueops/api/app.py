"""The API as a whole: its routes, its OpenAPI page, and its way of saying no."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import URLPattern
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema

from queueops.api import problems
from queueops.api.auth import needs
from queueops.api.subjects import SUBJECTS
from queueops.models import Scope

__all__ = ["api", "nowhere", "with_problems"]

View = Callable[..., HttpResponseBase]


class Page(OpenAPISchema):
    """The OpenAPI page; it refuses two schemas of one name, of which the later would replace the other."""

    def add_schema_definitions(self, definitions: dict[str, Any]) -> None:
        for name, definition in definitions.items():
            if self.schemas.setdefault(name, definition) != definition:
                raise TypeError(f"Two schemas have the name {name}.")


class Api(NinjaAPI):
    """django-ninja with problem documents in its OpenAPI page."""

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        schema = Page(self, self.get_root_path(path_params or {}) if path_prefix is None else path_prefix)
        parts = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schema["components"]["schemas"] |= {**parts.pop("$defs", {}), "Problem": parts}
        content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        # What is sent along with some statuses, so that generated clients know of it.
        waits = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds."}}
        for operation in (one for item in schema["paths"].values() for one in item.values()):
            for status, told in problems.STATUSES.items():
                operation["responses"][status] = {
                    "description": told,
                    "content": content,
                    **({"headers": waits} if status in (429, 503) else {}),
                }
        return schema


def _guarded(view: View) -> View:
    """The OpenAPI page, for whoever may call the API; a browser is sent to the login."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            if any(auth(request) for auth in needs(Scope.READ)):
                return view(request, *args, **kwargs)
            if "text/html" in request.headers.get("Accept", ""):
                return redirect_to_login(request.get_full_path(), "admin:login")
            raise AuthenticationError
        except Exception as error:
            return problems.answer(request, error)

    return guarded


api = Api(
    title="queueops",
    version="1",
    description="What operators do with queues: look, pause, replay, limit, repair.",
    urls_namespace="queueops-api",
    docs_decorator=_guarded,
    openapi_url="openapi.json",
    docs_url="docs",
)
for kind in (Exception, Http404, HttpError, ValidationError):
    api.add_exception_handler(kind, problems.answer)  # type: ignore[arg-type]
for subject in SUBJECTS:
    api.add_router("", subject.router)


def with_problems(pattern: Any, patterns: Sequence[Any]) -> URLPattern:
    """The same address, whose view also says "not found" and "not allowed" as a problem.

    A job may be called `hold`, which is also the address of a verb: where the address itself has not the
    method, another one of `patterns` that fits may have it.
    """
    view: View = pattern.callback
    fitting = [(one.callback, one.pattern.match(str(pattern.pattern))) for one in patterns]
    others = [(other, found[2]) for other, found in fitting if found and other is not view]

    @wraps(view)
    def told(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response = view(request, *args, **kwargs)
        except Http404 as error:
            return problems.answer(request, error)
        if not isinstance(response, HttpResponseNotAllowed):
            return response
        for other, named in others if not kwargs else ():
            instead: HttpResponseBase = other(request, **named)
            if not isinstance(instead, HttpResponseNotAllowed):
                return instead
        return problems.not_allowed(response)

    told.csrf_exempt = getattr(view, "csrf_exempt", False)  # type: ignore[attr-defined]
    changed: URLPattern = copy.copy(pattern)
    changed.callback = told
    return changed


def nowhere(request: HttpRequest) -> HttpResponse:
    """Whatever else is asked for."""
    return problems.answer(request, Http404(f"{request.path} is no address of this API."))


nowhere.csrf_exempt = True  # type: ignore[attr-defined]
