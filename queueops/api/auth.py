"""Who calls: the bearer of a token, or a person who is logged in; how far they reach, and how often."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import HttpRequest
from ninja.errors import AuthenticationError
from ninja.security import APIKeyCookie, HttpBearer
from ninja.utils import check_csrf

from queueops.conf import config
from queueops.errors import BrokerUnavailable, ConfigurationError
from queueops.middleware.limiter import limit
from queueops.models import AuditEntry, Scope
from queueops.ops import tokens
from queueops.ops.permissions import Actor

__all__ = ["Caller", "Request", "SessionAuth", "TokenAuth", "needs"]

#: A broker that is away is not asked for each request whether the caller may send it.
_AWAY_SECONDS = 5.0
_away_until = 0.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, how far their scope reaches, and the key under which their requests are counted."""

    actor: Actor
    scope: Scope
    key: str

    def needs(self, scope: Scope) -> None:
        """Raise PermissionDenied unless the caller's scope holds this one."""
        if not self.scope.holds(scope):
            raise PermissionDenied(f"This needs a token with the scope {scope.value}.")


if TYPE_CHECKING:

    class Request(HttpRequest):
        """A request that has passed `TokenAuth` or `SessionAuth`."""

        auth: Caller
else:
    Request = HttpRequest


class TokenAuth(HttpBearer):
    """`Authorization: Bearer qo_…`."""

    def __init__(self, scope: Scope, permission: str) -> None:
        super().__init__()
        self.scope, self.permission = scope, permission

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        row = tokens.bearer(token)
        if row is None:
            # Not on to the session: who sends a token means that one.
            raise AuthenticationError
        caller = Caller(
            Actor.of(row.user, AuditEntry.Surface.API), Scope(row.scope), f"queueops api token {row.pk}"
        )
        return _admitted(request, caller, self.scope, self.permission)


class SessionAuth(APIKeyCookie):
    """A person who is logged in to the site; what changes something needs the CSRF token."""

    param_name = settings.SESSION_COOKIE_NAME

    def __init__(self, scope: Scope, permission: str) -> None:
        super().__init__()
        self.scope, self.permission = scope, permission

    def __call__(self, request: HttpRequest) -> Caller | None:
        user = getattr(request, "user", None)
        if user is None or not user.is_authenticated:
            return None
        if check_csrf(request):
            raise PermissionDenied("The CSRF token is missing or wrong: send it as X-CSRFToken.")
        caller = Caller(Actor.of(user, AuditEntry.Surface.API), Scope.ADMIN, f"queueops api user {user.pk}")
        return _admitted(request, caller, self.scope, self.permission)

    def authenticate(self, request: HttpRequest, key: str | None) -> None:
        """The session is Django's own; its key says nothing here."""


def needs(scope: Scope, permission: str = "") -> list[TokenAuth | SessionAuth]:
    """What lets a caller in who has this scope, and ("": any) this permission."""
    return [TokenAuth(scope, permission), SessionAuth(scope, permission)]


def _admitted(request: HttpRequest, caller: Caller, scope: Scope, permission: str) -> Caller:
    _count(caller.key)
    caller.needs(scope)
    if permission:
        caller.actor.require(permission)
    size, most = request.META.get("CONTENT_LENGTH") or "0", settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if most is not None and size.isdigit() and int(size) > most:
        # Read later it would count as a body that is no JSON.
        raise RequestDataTooBig(f"The body has {int(size):,} bytes, the limit is {most:,}.")
    return caller


def _count(key: str) -> None:
    """Count a request of this caller; raises LimitReached. Where the broker is away nothing is counted."""
    global _away_until
    rate = config().api_rate
    if rate is None or time.monotonic() < _away_until:
        return
    try:
        with limit(key, rate=rate, burst=config().api_burst):
            pass
    except (BrokerUnavailable, ConfigurationError):
        _away_until = time.monotonic() + _AWAY_SECONDS
