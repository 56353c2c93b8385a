"""The verbs of resources: set_limit, reset_limit, pause, resume, and what holds now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from queueops.engine.resource_verbs import ResourceSnapshot
from queueops.engine.rules.values import NAME
from queueops.engine.store import Store
from queueops.errors import InvalidResource, LimitInvalid
from queueops.models import Resource
from queueops.ops import audit, broker, permissions
from queueops.ops.pauses import milliseconds, told
from queueops.ops.permissions import Actor
from queueops.ops.resource_limits import (
    Difference,
    Resolved,
    differences,
    publish,
    reconcile,
    resolve,
    same,
    with_row,
)

__all__ = [
    "LiveResource",
    "drift",
    "known",
    "listed",
    "live",
    "named",
    "pause",
    "publish",
    "reconcile",
    "reset_limit",
    "reset_rows",
    "resume",
    "save_row",
    "set_limit",
]

_TOLD = (*Resource.FIELDS, "note")


@dataclass(frozen=True, slots=True)
class LiveResource:
    """What holds for a resource now, beside what rows and settings say."""

    name: str
    resolved: Resolved
    snapshot: ResourceSnapshot
    drift: bool


def set_limit(actor: Actor, name: str, values: Mapping[str, Any], *, note: str = "") -> Resource:
    """Change the given limits of a resource and leave its others.

    Args:
        values: by the names of `Resource.FIELDS`; None inherits again, -1 is no limit. `rate` is text as
            "10/s" or jobs a minute, `breaker` is "on", "off" or a truth value.

    Raises:
        PermissionDenied: the actor may not change resources.
        LimitInvalid: a value is not allowed; the message says why.
    """
    with transaction.atomic():
        row = Resource.objects.select_for_update().filter(name=name).first() or Resource(name=name)
        for field, value in values.items():
            if field not in Resource.FIELDS:
                raise LimitInvalid(f"{field} is not a limit; known ones: {', '.join(Resource.FIELDS)}")
            setattr(row, field, _column(field, value))
        row.note = note or row.note
        return save_row(actor, row)


def _column(field: str, value: Any) -> Any:
    if field == "breaker" and isinstance(value, bool):
        return "on" if value else "off"
    if field in ("rate", "breaker"):
        return "" if value is None else str(value)
    return value


def save_row(actor: Actor, row: Resource) -> Resource:
    """Check and save a row that was edited as a whole; it is published when the transaction has ended.

    Raises:
        PermissionDenied: the actor may not change resources, or not add one.
        LimitInvalid: a value is not allowed; the message says why.
    """
    actor.require(permissions.CHANGE_RESOURCE if row.pk else permissions.ADD_RESOURCE)
    before = Resource.objects.filter(pk=row.pk).values(*_TOLD).first() or {}
    try:
        row.full_clean()
    except ValidationError as refused:
        raise LimitInvalid("; ".join(refused.messages)) from refused
    # Alone it may be allowed, and still not fit what it inherits.
    with_row(row).limits()
    with transaction.atomic():
        row.save()
        changed = {field: [before.get(field), getattr(row, field)] for field in _TOLD}
        differs = {field: pair for field, pair in changed.items() if (pair[0] or None) != (pair[1] or None)}
        audit.record(actor, "set_limit", _target(row.name), differs, 1)
    return row


def reset_limit(actor: Actor, name: str) -> int:
    """Delete the row of a resource, so that it has the default again; return how many (0 or 1).

    Raises:
        PermissionDenied: the actor may not reset resources.
    """
    return reset_rows(actor, list(Resource.objects.filter(name=name)))


def reset_rows(actor: Actor, rows: list[Resource]) -> int:
    """Delete these rows; otherwise as `reset_limit`."""
    actor.require(permissions.RESET_RESOURCE)
    with transaction.atomic():
        for row in rows:
            said = {field: getattr(row, field) for field in _TOLD if getattr(row, field) not in (None, "")}
            audit.record(actor, "reset_limit", _target(row.name), said, 1)
            row.delete()
    return len(rows)


def drift(store: Store) -> list[Difference]:
    """Everything in which the broker differs from rows and settings; `reconcile` mends it."""
    return differences(store)


def known(store: Store) -> list[str]:
    """The resources that rows, settings, tasks or the broker know."""
    return sorted({*resolve(), *store.resources()})


def listed(
    actor: Actor, names: Collection[str] | None = None, *, search: str = "", limit: int = 100
) -> list[LiveResource]:
    """What holds now for these resources; None: for those that rows, settings, tasks or the broker know.

    Of all, those whose breaker is not closed come first, the others by name.

    Args:
        search: only names that contain it.
        limit: how many at most; each is one look at the broker.

    Raises:
        PermissionDenied: the actor may not see operations.
        InvalidResource: no resource can have one of the names.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    with broker.store() as store:
        if names is None:
            alarmed = set(store.alarmed())
            names = sorted(known(store), key=lambda name: (name not in alarmed, name))
        chosen = [named(name) for name in names if search.lower() in name.lower()]
        found = live(store, chosen[:limit])
    return [found[name] for name in chosen[:limit]]


def live(store: Store, names: Collection[str]) -> dict[str, LiveResource]:
    """What holds now for each of these resources."""
    found: dict[str, LiveResource] = {}
    for name, resolved in resolve(names).items():
        snapshot = store.resource_snapshot(name)
        try:
            differs = not same(resolved.limits(), snapshot.limits)
        except LimitInvalid:
            differs = True
        found[name] = LiveResource(name, resolved, snapshot, differs)
    return found


def pause(actor: Actor, name: str, *, until: datetime | None = None, reason: str = "") -> None:
    """Close a resource in every queue: what runs goes on, nothing that uses it starts.

    Args:
        until: when it opens by itself; None is until resumed.

    Raises:
        PermissionDenied: the actor may not pause resources.
        InvalidResource: no resource can have this name.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.PAUSE_RESOURCE)
    with broker.store() as store:
        store.pause("", resource=named(name), until_ms=milliseconds(until), by=actor.name, reason=reason)
    audit.record(actor, "pause", _target(name), told(until=until, reason=reason), 1)


def resume(actor: Actor, name: str) -> bool:
    """Open what `pause` closed; return whether it was paused. Raises what `pause` raises."""
    actor.require(permissions.PAUSE_RESOURCE)
    with broker.store() as store:
        opened = store.resume("", resource=named(name))
    audit.record(actor, "resume", _target(name), count=int(opened))
    return opened


def named(name: str) -> str:
    """The name itself, if a resource can have it; raises InvalidResource if not."""
    if not NAME.fullmatch(name):
        raise InvalidResource(name)
    return name


def _target(name: str) -> str:
    return f"resource {name}"
