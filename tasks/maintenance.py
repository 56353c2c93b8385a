"""Cleaning up by night: what is older than its retention goes, in batches that lock nothing for long."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from celery import shared_task
from django.db.models import Model, QuerySet
from django.utils import timezone

from queueops.ops import cleanup
from tasks.conf import webhook_settings
from tasks.models import Delivery

_BATCH = 1_000
#: Seconds; below the run limit of 300. What is left is the next night's.
_BUDGET = 240.0


@shared_task(name="tasks.maintenance.clean_results", queue="bulk")
def clean_results() -> int:
    """Delete task results that are older than ``CELERY_RESULT_EXPIRES``; returns how many.

    It stands in the place of ``celery.backend_cleanup``, which deletes all of them in one statement. Mostly
    there is nothing left to do: the workers clean up all day.
    """
    deadline = time.monotonic() + _BUDGET
    return sum(sum(cleanup.delete_old(old, deadline)) for old in cleanup.old_results())


@shared_task(name="tasks.maintenance.clean_deliveries", queue="bulk")
def clean_deliveries() -> int:
    """Delete records of deliveries whose last attempt is older than their retention; returns how many."""
    days = webhook_settings().delivery_retention_days
    old = Delivery.objects.filter(last_attempt_at__lt=timezone.now() - timedelta(days=days))
    return _delete(old, time.monotonic() + _BUDGET)


def _delete(rows: QuerySet[Any, Any], deadline: float) -> int:
    model: type[Model] = rows.model
    deleted = 0
    while time.monotonic() < deadline:
        # By primary key: the same rows are found and deleted, without holding a cursor on the old ones.
        ids = list(rows.order_by("pk").values_list("pk", flat=True)[:_BATCH])
        if not ids:
            break
        deleted += model._default_manager.filter(pk__in=ids).delete()[0]
    return deleted
