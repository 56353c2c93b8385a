"""The verbs of orgs: listed, stats, pause, resume, forget. Pauses are rows, published like limits."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from queueops.models import OrgLimit
from queueops.ops import audit, permissions
from queueops.ops.forgetting import Forgotten, forget
from queueops.ops.limits import checked
from queueops.ops.org_list import OrgRow, listed
from queueops.ops.org_stats import OrgStats, stats
from queueops.ops.permissions import Actor

__all__ = ["Forgotten", "OrgRow", "OrgStats", "forget", "listed", "pause", "resume", "stats"]


def pause(
    actor: Actor, org: str, queue: str = "", *, until: datetime | None = None, reason: str = ""
) -> OrgLimit:
    """Close an org in one queue, or ("") in each: what runs goes on, nothing of it starts.

    Args:
        until: when it opens by itself; None is until resumed.

    Raises:
        PermissionDenied: the actor may not pause orgs.
        LimitInvalid: the org's name or the time is not allowed.
    """
    actor.require(permissions.PAUSE_ORG)
    with transaction.atomic():
        rows = OrgLimit.objects.select_for_update().filter(
            org=org, queue=queue, valid_until__isnull=until is None
        )
        if until is not None:
            # Beside the limits for a time, which end when they were told to.
            rows = rows.filter(paused=True)
        row = rows.first() or OrgLimit(org=org, queue=queue)
        row.paused, row.valid_until, row.note = True, until, reason or row.note
        checked(row).save()
        told = {"until": until.isoformat() if until else None, "reason": reason}
        audit.record(
            actor, "pause", f"org {org} in {queue or 'all queues'}", {k: v for k, v in told.items() if v}, 1
        )
    return row


def resume(actor: Actor, org: str, queue: str = "") -> int:
    """Open what `pause` closed; return how many rows had closed it. A row that says nothing else goes away.

    A pause for all queues is opened for all of them only, not for one.

    Raises:
        PermissionDenied: the actor may not pause orgs.
    """
    actor.require(permissions.PAUSE_ORG)
    with transaction.atomic():
        rows = list(OrgLimit.objects.select_for_update().filter(org=org, queue=queue, paused=True))
        for row in rows:
            row.paused = False
            if row.says_nothing():
                row.delete()
            else:
                row.save()
        audit.record(actor, "resume", f"org {org} in {queue or 'all queues'}", count=len(rows))
    return len(rows)
