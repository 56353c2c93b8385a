"""Jobs that wait in the database until the broker has them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from queueops.models.querysets import OutboxQuerySet

__all__ = ["OutboxEntry"]


class OutboxEntry(models.Model):
    """A job that was enqueued in a transaction and is not yet in the broker. It is gone when it is there."""

    id = models.BigAutoField(primary_key=True)
    queue = models.CharField(max_length=255)
    org = models.CharField(max_length=128)
    task = models.CharField(max_length=255)
    task_id = models.CharField("task id", max_length=255)
    head = models.JSONField(
        help_text="What the broker has to know of the job; its tag was made with the row."
    )
    message = models.TextField(help_text="The message as it will be published.")
    created_at = models.DateTimeField("written", default=timezone.now, editable=False)
    tries = models.PositiveIntegerField("refusals", default=0)
    error = models.TextField(blank=True)
    refused_at = models.DateTimeField("refused", null=True, blank=True)

    objects: ClassVar[models.Manager[OutboxEntry]] = OutboxQuerySet.as_manager()

    class Meta:
        verbose_name = "outbox entry"
        verbose_name_plural = "outbox entries"
        default_permissions = ("view",)
        permissions = [
            ("retry_outboxentry", "Can retry refused entries of the outbox"),
            ("discard_outboxentry", "Can discard refused entries of the outbox"),
        ]
        indexes = [models.Index(fields=["refused_at", "id"], name="queueops_outbox_waiting")]

    def __str__(self) -> str:
        return f"outbox entry {self.pk} ({self.task} of {self.org})"
