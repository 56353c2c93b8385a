"""How a route is declared: its method, path, scope and answer, above the function that calls its verb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ninja import Router

from queueops.api.auth import needs
from queueops.models import Scope

__all__ = ["ADMIN", "OPERATE", "READ", "Routes"]

READ, OPERATE, ADMIN = Scope.READ, Scope.OPERATE, Scope.ADMIN

View = TypeVar("View", bound=Callable[..., Any])


class Routes:
    """The routes of one subject; `tag` heads them in the OpenAPI page.

    A route's `permission` is checked before its function is called: for reading what has no verb with an
    actor. Every other function asks for its permission itself.
    """

    def __init__(self, tag: str) -> None:
        self.router = Router(tags=[tag])

    def get(self, path: str, answer: Any, scope: Scope = READ, **more: Any) -> Callable[[View], View]:
        """A route that looks."""
        return self._route("GET", path, answer, scope, **more)

    def post(
        self, path: str, answer: Any, scope: Scope = OPERATE, *, status: int = 200, **more: Any
    ) -> Callable[[View], View]:
        """A route that does something; its path ends with the verb."""
        return self._route("POST", path, answer, scope, status=status, **more)

    def _route(
        self,
        method: str,
        path: str,
        answer: Any,
        scope: Scope,
        *,
        status: int = 200,
        permission: str = "",
        **more: Any,
    ) -> Callable[[View], View]:
        def declare(view: View) -> View:
            told = more.pop("openapi_extra", {})
            declared: View = self.router.api_operation(
                [method],
                path,
                response={status: answer},
                auth=needs(scope, permission),
                operation_id=f"{view.__module__.rpartition('.')[2]}_{view.__name__}",
                summary=(view.__doc__ or "").strip().partition("\n")[0].rstrip("."),
                openapi_extra={"x-scope": scope.value, **told},
                **more,
            )(view)
            return declared

        return declare
