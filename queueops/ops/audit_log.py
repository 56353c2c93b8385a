"""Reading the audit log: who did what."""

from __future__ import annotations

from django.db.models import Q

from queueops.models import AuditEntry
from queueops.ops import permissions
from queueops.ops.masking import MASK
from queueops.ops.permissions import Actor

__all__ = ["LONGEST", "listed", "shown"]

#: Parameters that are arguments of jobs.
_PAYLOAD = ("args", "kwargs")

#: Entries that one call returns at most.
LONGEST = 1_000


def listed(
    actor: Actor,
    *,
    verb: str = "",
    who: str = "",
    target: str = "",
    surface: str = "",
    before: int | None = None,
    limit: int = 100,
) -> list[AuditEntry]:
    """Return the latest entries, newest first, each as `shown`; they are not to be saved.

    Args:
        verb, who, surface: exact words; "" is any.
        target: a part of what it was done to, in any case.
        before: id of the last entry of the page before; only older ones are returned.
        limit: entries, 1,000 at most.

    Raises:
        PermissionDenied: the actor may not see the audit log.
    """
    actor.require(permissions.VIEW_AUDIT)
    exact = {name: value for name, value in (("verb", verb), ("who", who), ("surface", surface)) if value}
    found = AuditEntry.objects.filter(**exact).order_by("-at", "-id")
    if target:
        found = found.filter(target__icontains=target)
    if before is not None:
        last = AuditEntry.objects.filter(pk=before).values_list("at", flat=True).first()
        if last is None:  # deleted meanwhile: the ids have nearly the same order
            found = found.filter(pk__lt=before)
        else:  # the first comparison bounds the index, the second one passes over those of the same moment
            found = found.filter(at__lte=last).filter(Q(at__lt=last) | Q(pk__lt=before))
    return [shown(actor, entry) for entry in found[: max(1, min(limit, LONGEST))]]


def shown(actor: Actor, entry: AuditEntry) -> AuditEntry:
    """Put a mask in the place of jobs' arguments, unless the actor may see payloads; return the entry."""
    if not actor.may(permissions.VIEW_PAYLOAD):
        entry.parameters = {
            name: MASK if name in _PAYLOAD else value for name, value in entry.parameters.items()
        }
    return entry
