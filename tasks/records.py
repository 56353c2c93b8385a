"""Writing down what became of a delivery."""

from __future__ import annotations

import logging
from dataclasses import dataclass

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


def is_delivered(endpoint: Endpoint, event_id: str) -> bool:
    """Whether the endpoint already took this event, so that a job that runs twice sends it once."""
    return Delivery.objects.filter(
        endpoint=endpoint, event_id=event_id, outcome=Delivery.Outcome.DELIVERED
    ).exists()


def record(endpoint: Endpoint, event_id: str, event_type: str, attempt: Attempt) -> None:
    """Write the attempt into the row of this event and endpoint.

    A database that is away is logged and nothing more: the request was made, and failing the job for its
    record would send an event twice that has arrived.
    """
    try:
        _write(endpoint, event_id, event_type, attempt)
    except DatabaseError as exc:
        logger.warning(
            "The %s attempt of event %s at endpoint %s is not recorded; its job goes on: %s",
            attempt.outcome,
            event_id,
            endpoint.pk,
            exc,
        )


def _write(endpoint: Endpoint, event_id: str, event_type: str, attempt: Attempt) -> None:
    now = timezone.now()
    last = {
        "outcome": attempt.outcome,
        "duration_ms": attempt.duration_ms,
        "status": attempt.status,
        "excerpt": attempt.excerpt,
        "error": attempt.error[:500],
        "last_attempt_at": now,
    }
    rows = Delivery.objects.filter(endpoint=endpoint, event_id=event_id)
    if rows.update(attempts=F("attempts") + 1, **last):
        return
    try:
        # Its own savepoint: a second writer's row must not break a transaction around us.
        with transaction.atomic():
            Delivery.objects.create(
                endpoint=endpoint,
                org=endpoint.org,
                event_id=event_id,
                event_type=event_type,
                attempts=1,
                first_attempt_at=now,
                **last,
            )
    except IntegrityError:
        rows.update(attempts=F("attempts") + 1, **last)
