"""Rows that outlive Redis: dead letters, limits of orgs and resources, the outbox, and who did what."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from queueops.engine.rules.gates import Limits, rate
from queueops.engine.rules.resources import BREAKER_FIELDS, limits_of
from queueops.engine.rules.states import LetterStatus, Reason
from queueops.errors import LimitInvalid
from queueops.querysets import DeadLetterQuerySet, OutboxQuerySet, SteppingQuerySet
from queueops.tokens import ApiToken, Scope

__all__ = [
    "REASONS",
    "UNLIMITED",
    "Alert",
    "ApiToken",
    "AuditEntry",
    "DeadLetter",
    "Operation",
    "OrgLimit",
    "OutboxEntry",
    "Resource",
    "Scope",
]

#: In a limit's column: no limit, whatever the environment or the settings say. An empty column inherits.
UNLIMITED = -1

#: Why a job died, and how people read it.
REASONS = [(reason.value, reason.value.replace("_", " ")) for reason in Reason]

NAME = RegexValidator(
    r"\A[A-Za-z0-9._@-]{1,128}\Z",
    'A name is 1 to 128 characters of letters, digits and ". _ @ -".',
    "invalid_name",
)


class DeadLetter(models.Model):
    """A job that gave up, with everything that is needed to understand it and to run it again."""

    id = models.BigAutoField(primary_key=True)
    queue = models.CharField(max_length=255)
    org = models.CharField(max_length=128)
    resource = models.CharField(max_length=128, blank=True)
    task = models.CharField(max_length=255, blank=True)
    task_id = models.CharField("task id", max_length=255, blank=True)
    args = models.JSONField(
        default=list, blank=True, help_text="For reading; a replay uses the whole message."
    )
    kwargs = models.JSONField(default=dict, blank=True)
    message = models.TextField(help_text="The whole message as the broker held it.")
    message_encoding = models.CharField(
        max_length=8, blank=True, help_text="'base64' where the message has bytes that a text column refuses."
    )
    reason = models.CharField(max_length=32, choices=REASONS)
    error_class = models.CharField("error", max_length=255, blank=True)
    error_message = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=16, help_text="Equal for letters that died of the same error.")
    attempts = models.JSONField(
        default=list, blank=True, help_text="Times, errors and workers, oldest first."
    )
    attempt_count = models.PositiveIntegerField("attempts", default=1)
    deliveries = models.PositiveIntegerField(default=1)
    worker = models.CharField(max_length=255, blank=True)
    run_ms = models.PositiveBigIntegerField("last run (ms)", default=0)
    first_enqueued_at = models.DateTimeField("first enqueued", null=True, blank=True)
    died_at = models.DateTimeField("died")
    status = models.CharField(
        max_length=16, choices=[(s.value, s.value) for s in LetterStatus], default=LetterStatus.PARKED.value
    )
    closed_at = models.DateTimeField("closed", null=True, blank=True)
    closed_by = models.CharField(max_length=150, blank=True)
    origin = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="descendants", db_index=False,
        help_text="The first letter of this job, where this one died in a replay.",
    )  # fmt: skip
    replay_number = models.PositiveIntegerField(
        default=0, help_text="Which replay of the job died here; 0 is none."
    )
    lease_token = models.CharField(max_length=255, unique=True, help_text="Of the delivery that died.")

    objects: ClassVar[models.Manager[DeadLetter]] = DeadLetterQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("view_payload", "Can see the payload of jobs (arguments, message)"),
            ("replay_deadletter", "Can replay dead letters"),
            ("edit_deadletter", "Can edit the arguments of dead letters and replay them"),
            ("discard_deadletter", "Can discard dead letters"),
            ("purge_deadletter", "Can purge dead letters"),
        ]
        # Each filter of the list is one index that already has the list's order, read backwards: a page costs
        # its own rows, however many there are. `id` orders letters of one millisecond; `status` comes last,
        # so that letters of another status are passed over without a look at their rows. What follows it lets
        # errors be counted without one.
        indexes = [
            models.Index(fields=["status", "died_at", "id", "fingerprint"], name="queueops_letter_status"),
            models.Index(fields=["died_at", "id", "status"], name="queueops_letter_died"),
            models.Index(
                fields=["queue", "died_at", "id", "status", "fingerprint"], name="queueops_letter_queue"
            ),
            models.Index(
                fields=["org", "died_at", "id", "status", "fingerprint"], name="queueops_letter_org"
            ),
            models.Index(fields=["task", "died_at", "id", "status"], name="queueops_letter_task"),
            models.Index(fields=["reason", "died_at", "id", "status"], name="queueops_letter_reason"),
            models.Index(fields=["error_class", "died_at", "id", "status"], name="queueops_letter_error"),
            models.Index(
                fields=["fingerprint", "died_at", "id", "status", "queue", "org"],
                name="queueops_letter_fingerprint",
            ),
            models.Index(fields=["task_id"], name="queueops_letter_task_id"),
            # Counts the letters of a queue without a look at their rows.
            models.Index(fields=["status", "queue"], name="queueops_letter_counts"),
            models.Index(fields=["origin", "replay_number"], name="queueops_letter_line"),
        ]

    def __str__(self) -> str:
        return f"letter {self.pk} ({self.task or 'unreadable'} of {self.org})"

    @property
    def raw_message(self) -> str:
        """The message, character by character as the broker held it."""
        if self.message_encoding == "base64":
            return base64.b64decode(self.message).decode("utf-8", "surrogatepass")
        return self.message


class OrgLimit(models.Model):
    """What an org may use of a queue, or of each queue. An empty value is inherited, -1 is no limit.

    A row with `valid_until` is temporary: it stands above the others until then, and ends by itself.
    """

    #: The columns that are limits, in the order in which people read them.
    FIELDS = ("weight", "rpm", "burst", "max_in_flight", "share")

    id = models.BigAutoField(primary_key=True)
    org = models.CharField(max_length=128, validators=[NAME])
    queue = models.CharField(max_length=255, blank=True, help_text="Empty: each queue, counted apart.")
    weight = models.FloatField(null=True, blank=True, help_text="Share relative to other orgs; 1 is usual.")
    rpm = models.FloatField(
        "rate per minute", null=True, blank=True, help_text="Jobs started in a minute; -1 is no limit."
    )
    burst = models.IntegerField(
        null=True, blank=True, help_text="Jobs that may start at once after a quiet time."
    )
    max_in_flight = models.IntegerField(
        null=True, blank=True, help_text="Jobs running at once; -1 is no limit."
    )
    share = models.FloatField(
        null=True, blank=True, help_text="Part of the queue's slots, above 0 up to 1; -1 is no limit."
    )
    paused = models.BooleanField(default=False, help_text="No job of the org starts in this queue.")
    note = models.CharField(max_length=255, blank=True)
    valid_until = models.DateTimeField(null=True, blank=True, help_text="Empty: until changed.")
    updated_at = models.DateTimeField("changed", auto_now=True)

    class Meta:
        verbose_name = "org limit"
        ordering = ["org", "queue", "id"]
        permissions = [
            ("pause_org", "Can pause and resume orgs"),
            ("pause_queue", "Can pause and resume queues"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["org", "queue"],
                condition=models.Q(valid_until__isnull=True),
                name="queueops_one_limit",
                violation_error_message="This org already has a limit for this queue.",
            ),
            models.UniqueConstraint(
                fields=["org", "queue"],
                condition=models.Q(valid_until__isnull=False),
                name="queueops_one_temporary_limit",
                violation_error_message="This org already has a temporary limit for this queue.",
            ),
        ]

    def __str__(self) -> str:
        ends = f" until {timezone.localtime(self.valid_until):%Y-%m-%d %H:%M}" if self.valid_until else ""
        return f"{self.org} in {self.queue or 'all queues'}{ends}"

    def clean(self) -> None:
        """Refuse values that the engine would refuse, with its reason, and a row that says nothing."""
        errors: dict[str, str] = {}
        for field in self.FIELDS:
            value = getattr(self, field)
            if value is None or (value == UNLIMITED and field not in ("weight", "burst")):
                continue
            try:
                # A burst is checked beside some rate: its own may be inherited.
                Limits(**{"rpm": 60.0, field: value})
            except LimitInvalid as refused:
                errors[field] = str(refused)
        if self.valid_until is not None and self.valid_until <= timezone.now():
            errors["valid_until"] = "This time has passed."
        if errors:
            raise ValidationError(errors)
        if self.says_nothing():
            raise ValidationError("Set at least one limit, or pause the org.", code="empty")

    def says_nothing(self) -> bool:
        """Whether the row limits nothing, so that it could as well be gone."""
        return not self.paused and all(getattr(self, field) is None for field in self.FIELDS)


class Resource(models.Model):
    """The limits of an outside thing that jobs use, for all orgs and queues together. Empty is inherited."""

    #: The columns that are limits, in the order in which people read them.
    FIELDS = ("rate", "burst", "max_in_flight", "breaker", *BREAKER_FIELDS)

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=128, unique=True, validators=[NAME])
    rate = models.CharField(
        max_length=32, blank=True, help_text="Jobs started, as 10/s, 5/m, 100/h or 1000/d; -1 is no limit."
    )
    burst = models.IntegerField(
        null=True, blank=True, help_text="Jobs that may start at once after a quiet time."
    )
    max_in_flight = models.IntegerField(
        null=True, blank=True, help_text="Jobs running at once; -1 is no limit."
    )
    breaker = models.CharField(
        max_length=3,
        blank=True,
        choices=[("on", "on"), ("off", "off")],
        help_text="Whether the resource is closed by itself when too many of its jobs fail.",
    )
    failure_share = models.FloatField(
        null=True, blank=True, help_text="Part of the calls that must have failed, above 0 up to 1."
    )
    min_calls = models.IntegerField(
        "least calls", null=True, blank=True, help_text="With fewer in the window it does not open."
    )
    window_seconds = models.FloatField(
        "window (s)", null=True, blank=True, help_text="Calls that ended in this time are looked at."
    )
    open_seconds = models.FloatField(
        "first opening (s)", null=True, blank=True, help_text="Each opening in a row lasts twice as long."
    )
    longest_open_seconds = models.FloatField("longest opening (s)", null=True, blank=True)
    probes = models.IntegerField(
        null=True, blank=True, help_text="Jobs that must succeed before it closes again."
    )
    note = models.CharField(max_length=255, blank=True)
    updated_at = models.DateTimeField("changed", auto_now=True)

    class Meta:
        ordering = ["name"]
        permissions = [
            ("panic_resource", "Can put resources into panic mode and end it"),
            ("pause_resource", "Can pause and resume resources"),
            ("pause_task", "Can pause and resume tasks by their name"),
        ]

    def __str__(self) -> str:
        return self.name

    def says(self) -> dict[str, Any]:
        """The fields that are not inherited, as `queueops.engine.rules.resources.FIELDS`; None is no limit.

        Raises:
            LimitInvalid: the rate cannot be read.
        """
        said: dict[str, Any] = {}
        for field in self.FIELDS:
            value = getattr(self, field)
            if value in (None, ""):
                continue
            if field == "rate":
                value = None if value.strip() == str(UNLIMITED) else rate(value)
            elif field == "breaker":
                value = value == "on"
            elif field == "max_in_flight" and value == UNLIMITED:
                value = None
            said[field] = value
        return said

    def clean(self) -> None:
        """Refuse values that the engine would refuse, with its reason, and a row that says nothing."""
        errors: dict[str, str] = {}
        for field in self.FIELDS:
            if getattr(self, field) in (None, "") or field == "breaker":
                continue
            try:
                alone = Resource(**{field: getattr(self, field)}).says()
                # Looked at beside others that fit it: its own may be inherited.
                fitting = {"open_seconds": 1, "longest_open_seconds": 86_400, "rate": 60.0, "breaker": True}
                limits_of(fitting | alone)
            except LimitInvalid as refused:
                errors[field] = str(refused)
        if errors:
            raise ValidationError(errors)
        if not self.says():
            raise ValidationError("Set at least one limit.", code="empty")


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


class Alert(models.Model):
    """Something that is wrong, from the moment it was first seen until it has been right for a while."""

    key = models.CharField(max_length=300, unique=True)
    kind = models.CharField(max_length=32)
    queue = models.CharField(max_length=255, blank=True)
    text = models.TextField()
    since = models.DateTimeField()
    told_at = models.DateTimeField("told", null=True, blank=True)
    gone_since = models.DateTimeField("right since", null=True, blank=True)

    objects: ClassVar[models.Manager[Alert]] = models.Manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.queue or 'broker'}"


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
