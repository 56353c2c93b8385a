"""What an org or a resource may take, as people set it. An empty column inherits."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from queueops.engine.rules.gates import Limits, rate
from queueops.engine.rules.resources import BREAKER_FIELDS, limits_of
from queueops.errors import LimitInvalid

__all__ = ["NAME", "UNLIMITED", "OrgLimit", "Resource"]

#: In a limit's column: no limit, whatever the environment or the settings say. An empty column inherits.
UNLIMITED = -1

#: What orgs and resources may be called.
NAME = RegexValidator(
    r"\A[A-Za-z0-9._@-]{1,128}\Z",
    'A name is 1 to 128 characters of letters, digits and ". _ @ -".',
    "invalid_name",
)


class OrgLimit(models.Model):
    """What an org may use of a queue, or of each queue. An empty value is inherited, -1 is no limit.

    A row with `valid_until` is temporary: it stands above the others until then, and ends by itself. A pause
    for a time is a row of its own beside the limits for a time, so that neither moves the other's end.
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
                fields=["org", "queue", "paused"],
                condition=models.Q(valid_until__isnull=False),
                name="queueops_one_temporary_limit",
                violation_error_message="This org already has a temporary limit or pause for this queue.",
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
        if self.paused and self.valid_until is not None and self.limits_something():
            errors["paused"] = "A pause for a time is a row of its own, without limits."
        if errors:
            raise ValidationError(errors)
        if self.says_nothing():
            raise ValidationError("Set at least one limit, or pause the org.", code="empty")

    def says_nothing(self) -> bool:
        """Whether the row limits nothing, so that it could as well be gone."""
        return not self.paused and not self.limits_something()

    def limits_something(self) -> bool:
        """Whether the row sets a limit; a pause alone sets none."""
        return any(getattr(self, field) is not None for field in self.FIELDS)


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
