"""What people may do, what was done and by whom, and what they were told of."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.utils import timezone

from queueops.models.querysets import SteppingQuerySet

__all__ = ["Alert", "AuditEntry", "Operation"]


class Operation(models.Model):
    """What a person may do to the jobs in the broker: permissions only, there is no table."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("view_jobs", "Can see the jobs that wait or run"),
            ("cancel_job", "Can cancel jobs"),
            ("hold_job", "Can hold and release jobs"),
            ("retry_job", "Can have waiting jobs run now"),
            ("unstick_job", "Can stop jobs that run for too long and give them back"),
            ("recover_leases", "Can have expired leases ended now"),
            ("drain_queue", "Can drain queues"),
            ("repair_broker", "Can have the doctor repair the broker"),
            ("cleanup", "Can delete what is past its retention"),
            ("view_operations", "Can see queues, workers, orgs and metrics"),
            ("enqueue_job", "Can enqueue jobs"),
            ("operate_worker", "Can quiet, restart, stop and scale workers"),
            ("operate_schedule", "Can add, enable, disable and run schedules"),
            ("export_deadletter", "Can export and import dead letters"),
            ("forget_org", "Can forget orgs: cancel, purge and mask all they have"),
        ]


class AuditEntry(models.Model):
    """One act of a person (or of the system): who, when, what, to what, how many, from where."""

    class Surface(models.TextChoices):
        ADMIN = "admin", "admin"
        CLI = "cli", "command line"
        API = "api", "API"
        DASHBOARD = "dashboard", "dashboard"
        SYSTEM = "system", "system"

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField("when", default=timezone.now, editable=False)
    who = models.CharField(max_length=150)
    verb = models.CharField(max_length=32)
    target = models.CharField(max_length=255)
    parameters: Any = models.JSONField(default=dict, blank=True)
    result_count = models.PositiveIntegerField(default=0)
    surface = models.CharField(max_length=16, choices=Surface.choices)

    objects: ClassVar[models.Manager[AuditEntry]] = SteppingQuerySet.as_manager()

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["at", "id"], name="queueops_audit_at"),
            models.Index(fields=["verb", "at", "id"], name="queueops_audit_verb"),
            models.Index(fields=["who", "at", "id"], name="queueops_audit_who"),
            models.Index(fields=["surface", "at", "id"], name="queueops_audit_surface"),
        ]

    def __str__(self) -> str:
        return f"{self.who}: {self.verb} {self.target}"


class Alert(models.Model):
    """Something that is wrong, from the moment it was first seen until it has been right for a while."""

    key = models.CharField(max_length=300, unique=True)
    kind = models.CharField(max_length=32)
    queue = models.CharField(max_length=255, blank=True)
    text = models.TextField()
    since = models.DateTimeField()
    told_at = models.DateTimeField("told", null=True, blank=True)
    telling_until = models.DateTimeField(null=True, blank=True)
    gone_since = models.DateTimeField("right since", null=True, blank=True)

    objects: ClassVar[models.Manager[Alert]] = models.Manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.queue or 'broker'}"
