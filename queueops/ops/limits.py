"""The verbs of limits: set_limit, reset_limit, throttle, publish, reconcile, drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from queueops.engine.store import Store
from queueops.engine.types import OrgSnapshot
from queueops.errors import LimitInvalid
from queueops.models import OrgLimit
from queueops.ops import audit, permissions
from queueops.ops.permissions import Actor
from queueops.ops.publishing import (
    Difference,
    Held,
    Wanted,
    differences,
    expire,
    known_queues,
    publish,
    reconcile,
    wanted,
)
from queueops.ops.resolution import Resolved, resolve

__all__ = [
    "LiveLimit",
    "checked",
    "drift",
    "expire",
    "live",
    "publish",
    "reconcile",
    "reset_limit",
    "reset_rows",
    "save_row",
    "set_limit",
    "throttle",
]

_TOLD = (*OrgLimit.FIELDS, "paused", "note", "valid_until")


@dataclass(frozen=True, slots=True)
class LiveLimit:
    """What holds for an org in a queue now, beside what the rows say."""

    queue: str
    resolved: Resolved
    snapshot: OrgSnapshot
    drift: bool


def set_limit(
    actor: Actor,
    org: str,
    queue: str = "",
    values: Mapping[str, float | None] | None = None,
    *,
    valid_until: datetime | None = None,
    note: str = "",
    verb: str = "set_limit",
) -> OrgLimit:
    """Change the given limits of an org and leave its others.

    Args:
        queue: "" for each queue, counted apart.
        values: by the names of `OrgLimit.FIELDS`; None inherits again, -1 is no limit.
        valid_until: changes the temporary row, which ends by itself; None changes the permanent one.

    Raises:
        PermissionDenied: the actor may not change limits.
        LimitInvalid: a value is not allowed; the message says why.
    """
    with transaction.atomic():
        rows = OrgLimit.objects.select_for_update().filter(
            org=org, queue=queue, valid_until__isnull=valid_until is None
        )
        if valid_until is not None:
            # Beside a pause for a time, which ends when it was told to.
            rows = rows.filter(paused=False)
        row = rows.first() or OrgLimit(org=org, queue=queue)
        for name, value in (values or {}).items():
            if name not in OrgLimit.FIELDS:
                raise LimitInvalid(f"{name} is not a limit; known ones: {', '.join(OrgLimit.FIELDS)}")
            setattr(row, name, value)
        row.valid_until, row.note = valid_until, note or row.note
        return save_row(actor, row, verb=verb)


def throttle(
    actor: Actor, org: str, queue: str, max_in_flight: int, until: datetime, note: str = ""
) -> OrgLimit:
    """Lower an org's cap for a time: `set_limit` by another name, so that the audit log tells them apart."""
    return set_limit(
        actor, org, queue, {"max_in_flight": max_in_flight}, valid_until=until, note=note, verb="throttle"
    )


def save_row(actor: Actor, row: OrgLimit, verb: str = "set_limit") -> OrgLimit:
    """Check and save a row that was edited as a whole; it is published when the transaction has ended.

    Raises:
        PermissionDenied: the actor may not change limits, add one, or (where a pause or its end changes)
            pause orgs.
        LimitInvalid: a value is not allowed; the message says why.
    """
    actor.require(permissions.CHANGE_LIMIT if row.pk else permissions.ADD_LIMIT)
    before = OrgLimit.objects.filter(pk=row.pk).values(*_TOLD).first() or {}
    paused = before.get("paused", False)
    if row.paused != paused or (paused and row.valid_until != before["valid_until"]):
        actor.require(permissions.PAUSE_ORG)
    checked(row)
    with transaction.atomic():
        row.save()
        changed = {name: [_told(before.get(name)), _told(getattr(row, name))] for name in _TOLD}
        audit.record(actor, verb, str(row), {k: v for k, v in changed.items() if v[0] != v[1]}, 1)
    return row


def checked(row: OrgLimit) -> OrgLimit:
    """The row itself, if its values are allowed; raises LimitInvalid with the reasons if not."""
    try:
        row.full_clean()
    except ValidationError as refused:
        raise LimitInvalid("; ".join(refused.messages)) from refused
    return row


def reset_limit(actor: Actor, org: str, queue: str | None = None) -> int:
    """Delete the org's rows, temporary ones and pauses too: it has the default again. Return how many.

    Args:
        queue: only the rows of this queue; "" those for all queues; None every row of the org.

    Raises:
        PermissionDenied: the actor may not reset limits, or (where one is paused) pause orgs; all rows stay.
    """
    rows = OrgLimit.objects.filter(org=org)
    return reset_rows(actor, list(rows if queue is None else rows.filter(queue=queue)))


def reset_rows(actor: Actor, rows: list[OrgLimit]) -> int:
    """Delete these rows; otherwise as `reset_limit`."""
    actor.require(permissions.RESET_LIMIT)
    if any(row.paused for row in rows):
        actor.require(permissions.PAUSE_ORG)
    with transaction.atomic():
        for row in rows:
            told = {name: _told(getattr(row, name)) for name in _TOLD}
            audit.record(actor, "reset_limit", str(row), {k: v for k, v in told.items() if v is not None}, 1)
            row.delete()
    return len(rows)


def drift(store: Store) -> list[Difference]:
    """Everything in which the broker differs from the rows; `reconcile` mends it."""
    rows = list(OrgLimit.objects.all())
    now = timezone.now()
    return [
        one
        for queue in known_queues(store, rows)
        for one in differences(store, queue, wanted(queue, rows, now))
    ]


def live(store: Store, rows: Sequence[OrgLimit]) -> dict[int, list[LiveLimit]]:
    """What holds now for each of these rows: its org in its queue, or in every queue that is known."""
    now = timezone.now()
    related = list(OrgLimit.objects.filter(org__in={row.org for row in rows}))
    queues = known_queues(store, related)
    # A temporary row and the one below it speak of the same org and queue: one look serves both.
    seen: dict[tuple[str, str], LiveLimit] = {}
    found: dict[int, list[LiveLimit]] = {}
    for row in rows:
        for queue in [row.queue] if row.queue else queues:
            if (queue, row.org) not in seen:
                seen[queue, row.org] = _look(store, queue, row.org, related, now)
            found.setdefault(row.pk, []).append(seen[queue, row.org])
    return found


def _look(store: Store, queue: str, org: str, rows: Sequence[OrgLimit], now: datetime) -> LiveLimit:
    own = [row for row in rows if row.org == org]
    snapshot = store.org_snapshot(queue, org)
    held = Held(snapshot.limits, snapshot.paused.until_ms if snapshot.paused else None)
    return LiveLimit(
        queue,
        resolve(queue, org, own, now),
        snapshot,
        not wanted(queue, own, now).get(org, Wanted()).is_met(held),
    )


def _told(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
