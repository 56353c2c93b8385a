"""Writing down what became of a delivery."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from tasks.models import Delivery, Endpoint

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt ended; *duration_ms* is the time of the whole exchange."""

    outcome: Delivery.Outcome
    duration_ms: int
    status: int | None = None
    excerpt: str = ""
    error: str = ""


def last_outcome(endpoint: Endpoint, event_id: str) -> str | None:
    """Return how the last attempt of this event at this endpoint ended, None where there was none."""
    rows = Delivery.objects.filter(endpoint=endpoint, event_id=event_id)
    return rows.values_list("outcome", flat=True).first()


def record(endpoint: Endpoint, event_id: str, event_type: str, attempt: Attempt, *, first: bool) -> None:
    """Write the attempt into the row of this event and endpoint; *first*: no row was there when it began.

    A database that is away is logged and nothing more: the request was made, and failing the job for its
    record would send an event twice that has arrived.
    """
    try:
        _write(endpoint, event_id, event_type, attempt, first)
    except DatabaseError as exc:
        logger.warning(
            "The %s attempt of event %s at endpoint %s is not recorded; its job goes on: %s",
            attempt.outcome,
            event_id,
            endpoint.pk,
            exc,
        )


def _write(endpoint: Endpoint, event_id: str, event_type: str, attempt: Attempt, first: bool) -> None:
    now = timezone.now()
    last: dict[str, Any] = {
        "outcome": attempt.outcome,
        "duration_ms": attempt.duration_ms,
        "status": attempt.status,
        "excerpt": attempt.excerpt,
        "error": attempt.error[:500],
        "last_attempt_at": now,
    }
    if first:
        # Its own savepoint: a row that another run made meanwhile must not break a transaction around us.
        with suppress(IntegrityError), transaction.atomic():
            Delivery.objects.create(
                endpoint=endpoint,
                org=endpoint.org,
                event_id=event_id,
                event_type=event_type,
                attempts=1,
                first_attempt_at=now,
                **last,
            )
            return
    rows = Delivery.objects.filter(endpoint=endpoint, event_id=event_id)
    rows.update(attempts=F("attempts") + 1, **last)
