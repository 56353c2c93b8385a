"""Whose job is this? The call, the task, the argument, the ambient org, the parent's org, the default."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

from celery._state import get_current_worker_task
from celery.utils.imports import symbol_by_name

from queueops.conf import config
from queueops.engine.rules.values import NAME
from queueops.errors import InvalidOrg, InvalidResource
from queueops.middleware.chain import Envelope, Middleware

__all__ = ["Org", "OrgMiddleware", "check_org", "check_resource", "current_org", "org_context"]

_ambient: ContextVar[str | None] = ContextVar("queueops_org", default=None)


def check_org(name: Any) -> str:
    """Return `name`, or raise `InvalidOrg` if it is no org's name."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidOrg(name)
    return name


def check_resource(name: Any) -> str:
    """Return `name`, or raise `InvalidResource` if it is not a resource's name. "" is no resource."""
    if name and (not isinstance(name, str) or not NAME.fullmatch(name)):
        raise InvalidResource(name)
    return name or ""


class org_context(ContextDecorator):
    """The org of every job that is published inside, unless the call or the task says otherwise.

    Args:
        org: its name; None takes an outer context away.

    Raises:
        InvalidOrg: at once, not at the first publish.
    """

    def __init__(self, org: str | None) -> None:
        self._org = None if org is None else check_org(org)
        self._tokens: list[Token[str | None]] = []

    def _recreate_cm(self) -> org_context:
        # As a decorator every call needs its own tokens, or two threads would reset each other's.
        return org_context(self._org)

    def __enter__(self) -> str | None:
        self._tokens.append(_ambient.set(self._org))
        return self._org

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _ambient.reset(self._tokens.pop())


def current_org() -> str:
    """Return the org that a job published here and now would get from its surroundings."""
    return _ambient.get() or _parent_org() or config().default_org


def _parent_org() -> str | None:
    task = get_current_worker_task()
    if task is None:
        return None
    header = (task.request.headers or {}).get("queueops")
    return header.get("org") if header else None


class Org(Middleware):
    """Gives every message its org. Children, chains and chords have their parent's, a retry keeps its own."""

    def before_publish(self, envelope: Envelope) -> None:
        """Fill in `envelope.org` where nothing has decided it before."""
        if envelope.org:
            return
        plan = envelope.plan
        found = envelope.options.get("org")
        if found is None:
            found = plan.org
        if found is None and plan.org_argument is not None:
            found = _from_arguments(plan.org_argument, envelope)
        if found is None:
            found = _ambient.get()
        if found is None:
            found = _parent_org()
        if found == "":
            raise InvalidOrg(found)
        # Any other name is checked when the header is made, whoever has decided it last.
        envelope.org = found if found is not None else config().default_org


def _from_arguments(argument: tuple[str, int | None], envelope: Envelope) -> Any:
    name, position = argument
    found = envelope.kwargs.get(name)
    if found is None and position is not None and position < len(envelope.args):
        found = envelope.args[position]
    # An org's number, as tasks get it that take a row's id.
    return str(found) if type(found) is int else found


class OrgMiddleware:
    """Django middleware: the org of a request is the ambient org while the request is handled.

    The org comes from the callable that QUEUEOPS["ORG_FROM_REQUEST"] names: it takes the request and returns
    a name, or None for no org. Put it behind the middleware that the callable needs (sessions, login).
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        from asgiref.sync import iscoroutinefunction, markcoroutinefunction

        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any | Awaitable[Any]:
        """Handle the request within its org."""
        if self._is_async:
            return self._acall(request)
        with org_context(_org_of(request)):
            return self.get_response(request)

    async def _acall(self, request: Any) -> Any:
        with org_context(_org_of(request)):
            return await self.get_response(request)


def _org_of(request: Any) -> str | None:
    path = config().org_from_request
    return symbol_by_name(path)(request) if path else None
