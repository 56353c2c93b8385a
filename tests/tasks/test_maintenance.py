"""What is older than its retention goes, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from django.utils import timezone

if TYPE_CHECKING:
    from tasks.models import Endpoint


def ago(**length: float) -> Any:
    return timezone.now() - timedelta(**length)


def test_old_deliveries_go(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks import maintenance
    from tasks.models import Delivery

    monkeypatch.setattr(maintenance, "_BATCH", 2)
    for number, days in enumerate((10, 29.9, 30.1, 40, 50, 60, 70)):
        Delivery.objects.create(
            endpoint=endpoint,
            org="acme",
            event_id=f"event-{number}",
            event_type="ping",
            outcome=Delivery.Outcome.DELIVERED,
            duration_ms=1,
            first_attempt_at=ago(days=90),
            last_attempt_at=ago(days=days),
        )
    assert maintenance.clean_deliveries() == 5
    assert maintenance.clean_deliveries() == 0
    assert sorted(Delivery.objects.values_list("event_id", flat=True)) == ["event-0", "event-1"]


def test_old_results_go(app: Celery) -> None:
    from django_celery_results.models import GroupResult, TaskResult

    from tasks import maintenance

    app.conf.result_expires = timedelta(days=7)
    for number, days in enumerate((1, 6.9, 7.1, 30)):
        for made in (
            TaskResult.objects.create(task_id=f"job-{number}"),
            GroupResult.objects.create(group_id=f"group-{number}"),
        ):
            # The column is written by the model itself on every save.
            type(made).objects.filter(pk=made.pk).update(date_done=ago(days=days))
    assert maintenance.clean_results() == 4
    assert sorted(TaskResult.objects.values_list("task_id", flat=True)) == ["job-0", "job-1"]

    app.conf.result_expires = None
    assert maintenance.clean_results() == 0
    for model in (TaskResult, GroupResult):
        model.objects.all().delete()
