"""The verbs of API tokens: create, revoke, listed; and whose token a request brings."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from queueops.errors import TokenRefused
from queueops.models import ApiToken, Scope
from queueops.ops import audit, permissions
from queueops.ops.permissions import Actor

__all__ = ["Created", "bearer", "create", "listed", "revoke"]

#: What a token begins with, so that scanners for leaked secrets can know one.
PREFIX = "qo_"
_SECRET_BYTES = 32
#: The last use is written down once in so long: a write for each request would cost more than it tells.
_USED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Created:
    """A new token. `secret` is shown once: only its hash is kept."""

    row: ApiToken
    secret: str


def create(
    actor: Actor, user: Any, name: str, scope: Scope = Scope.READ, *, expires_at: datetime | None = None
) -> Created:
    """Make a token that may do what `scope` holds and what `user` may do.

    Args:
        user: whose permissions bound it. People make tokens of their own; only a superuser, or who has a
            shell, makes one for somebody else, for it can do what that person can.
        name: what it is used for, 1 to 100 characters.
        expires_at: when it ends; None is never.

    Raises:
        PermissionDenied: the actor may not create tokens, or not for this user.
        TokenRefused: the name is empty or too long, there is no such scope, or the time has passed.
    """
    actor.require(permissions.CREATE_TOKEN)
    if actor.user is not None and actor.user != user and not getattr(actor.user, "is_superuser", False):
        raise PermissionDenied(f"{actor.name} may create tokens of their own only.")
    secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    row = ApiToken(
        user=user,
        name=name.strip(),
        scope=scope,
        digest=_digest(secret),
        hint=secret[:8],
        created_by=actor.name[:150],
        expires_at=expires_at,
    )
    try:
        row.full_clean()
    except ValidationError as refused:
        raise TokenRefused("; ".join(refused.messages)) from refused
    with transaction.atomic():
        row.save()
        told = {"name": row.name, "scope": row.scope, "expires": expires_at and expires_at.isoformat()}
        audit.record(actor, "create_token", _target(row), {k: v for k, v in told.items() if v}, 1)
    return Created(row, secret)


def revoke(actor: Actor, tokens: Iterable[int]) -> int:
    """End tokens at once; their rows stay. Returns how many were valid until now.

    Who may create tokens may revoke their own.

    Raises:
        PermissionDenied: a token is somebody else's and the actor may not revoke those; none was revoked.
    """
    now = timezone.now()
    with transaction.atomic():
        rows = list(
            ApiToken.objects.select_for_update(of=("self",))
            .select_related("user")
            .filter(pk__in=list(tokens), revoked_at__isnull=True)
        )
        if not actor.may(permissions.CREATE_TOKEN) or any(row.user != actor.user for row in rows):
            actor.require(permissions.REVOKE_TOKEN)
        for row in rows:
            row.revoked_at = now
            row.save(update_fields=["revoked_at"])
            audit.record(actor, "revoke_token", _target(row), count=1)
    return len(rows)


def listed(actor: Actor, *, limit: int = 100) -> list[ApiToken]:
    """The newest tokens, without those of other people for who may only create their own.

    Raises:
        PermissionDenied: the actor may neither see tokens nor create one.
    """
    rows = ApiToken.objects.select_related("user").order_by("-pk")
    if not actor.may(permissions.VIEW_TOKENS):
        actor.require(permissions.CREATE_TOKEN)
        rows = rows.filter(user=actor.user)  # type: ignore[misc]
    return list(rows[:limit])


def bearer(secret: str) -> ApiToken | None:
    """The valid token behind what a request brings, with its user; None if there is none. Notes the use."""
    now = timezone.now()
    row = ApiToken.objects.select_related("user").filter(digest=_digest(secret)).first()
    if row is None or row.ended(now) or not row.user.is_active:
        return None
    long_ago = now - _USED_EVERY
    if row.last_used_at is None or row.last_used_at < long_ago:
        stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=long_ago)
        ApiToken.objects.filter(stale, pk=row.pk).update(last_used_at=now)
    return row


def _digest(secret: str) -> str:
    # No salt and no slow hash: the secret is 256 random bits, which nobody tries out.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _target(row: ApiToken) -> str:
    return f"{row} of {row.user.get_username()}"
