"""The audit log: every verb leaves one entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import F

from queueops.models import AuditEntry
from queueops.ops import storable
from queueops.ops.masking import mask
from queueops.ops.permissions import Actor

__all__ = ["add", "record"]


def record(
    actor: Actor, verb: str, target: str, parameters: Mapping[str, Any] | None = None, count: int = 0
) -> AuditEntry:
    """Write who did what to what, and return the entry.

    Args:
        verb: the word of the operation, as "replay".
        target: what it was done to, as "letter 17" or "org acme in bulk".
        parameters: what was asked for; values of masked keys are not kept.
        count: how many rows or jobs it changed.
    """
    return AuditEntry.objects.create(
        who=actor.name[:150],
        verb=verb,
        # Arguments of jobs are among them: what no JSON column holds must not undo what was done.
        target=storable.line(target),
        parameters=storable.document(mask(dict(parameters or {}))),
        result_count=count,
        surface=actor.surface,
    )


def add(entry: AuditEntry, count: int) -> None:
    """Count `count` more results of a verb that works in batches, in the transaction of the batch."""
    AuditEntry.objects.filter(pk=entry.pk).update(result_count=F("result_count") + count)
