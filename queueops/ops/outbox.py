"""The verbs of the outbox: retry and discard what the broker has refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db import router, transaction

from queueops.models import OutboxEntry
from queueops.ops import audit, permissions
from queueops.ops.permissions import Actor

__all__ = ["discard", "retry"]


def retry(actor: Actor, entries: Iterable[int]) -> int:
    """Let these refused rows be relayed again, in their old places; return how many.

    Raises:
        PermissionDenied: the actor may not retry.
    """
    actor.require(permissions.RETRY_OUTBOX)
    ids = list(entries)
    with transaction.atomic(using=router.db_for_write(OutboxEntry)):
        count = OutboxEntry.objects.filter(pk__in=ids).refused().update(refused_at=None, error="")
        audit.record(actor, "retry", _named(ids), {"entries": ids[:100]}, count)
    return int(count)


def discard(actor: Actor, entries: Iterable[int]) -> int:
    """Delete these refused rows for good; return how many. A row that waits for the broker stays.

    Raises:
        PermissionDenied: the actor may not discard.
    """
    actor.require(permissions.DISCARD_OUTBOX)
    ids = list(entries)
    with transaction.atomic(using=router.db_for_write(OutboxEntry)):
        count, _ = OutboxEntry.objects.filter(pk__in=ids).refused().delete()
        audit.record(actor, "discard", _named(ids), {"entries": ids[:100]}, count)
    return count


def _named(ids: Sequence[int]) -> str:
    return f"outbox entry {ids[0]}" if len(ids) == 1 else f"{len(ids)} outbox entries"
