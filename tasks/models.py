"""The rows of the webhook tasks: where events go, and what became of each."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from queueops.engine.rules.gates import ResourceLimits, rate
from queueops.errors import LimitInvalid
from tasks.addresses import check_url
from tasks.conf import private_addresses_allowed
from tasks.failures import AddressRefused
from tasks.signing import key_of, new_secret

org_name = RegexValidator(
    r"\A[A-Za-z0-9._@-]{1,128}\Z",
    "An org is 1 to 128 letters, digits, dots, underscores, at signs and hyphens.",
)


class Endpoint(models.Model):
    """A URL of an org that receives its events."""

    org = models.CharField(max_length=128, db_index=True, validators=[org_name])
    url = models.CharField("URL", max_length=500)
    secret = models.CharField(
        max_length=120,
        default=new_secret,
        help_text="The receiver verifies signatures with it; whsec_ and base64.",
    )
    description = models.CharField(max_length=200, blank=True)
    active = models.BooleanField(
        default=True,
        help_text="Off: new events are not sent here, and waiting deliveries become dead letters.",
    )
    allow_private = models.BooleanField(
        "allow private addresses",
        default=False,
        help_text="May be on loopback or in a private network. Never set it for a customer's URL.",
    )
    rate = models.CharField(
        max_length=32,
        blank=True,
        help_text="Deliveries that start, as 10/s, 100/m or 1000/h. Empty: as the settings say.",
    )
    max_in_flight = models.PositiveIntegerField(
        null=True, blank=True, help_text="Deliveries at once. Empty: as the settings say."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("org", "pk")

    def __str__(self) -> str:
        return f"{self.org}: {self.url}"

    @property
    def may_be_private(self) -> bool:
        """Whether loopback and private networks are open to this endpoint, by itself or by the settings."""
        return self.allow_private or private_addresses_allowed()

    def clean(self) -> None:
        """Refuse a URL or a secret with which no delivery could succeed, and limits that cannot be.

        Raises ValidationError by field.
        """
        errors: dict[str, str] = {}
        try:
            check_url(self.url, allow_private=self.may_be_private)
        except AddressRefused as exc:
            errors["url"] = str(exc)
        try:
            key_of(self.secret)
        except ValueError as exc:
            errors["secret"] = f"{exc}."
        try:
            ResourceLimits(rate(self.rate) if self.rate else None, max_in_flight=self.max_in_flight)
        except LimitInvalid as refused:
            errors["rate" if "rate" in str(refused) else "max_in_flight"] = str(refused)
        if errors:
            raise ValidationError(errors)


class Delivery(models.Model):
    """What became of one event at one endpoint: one row for all its attempts. The payload is not kept."""

    class Outcome(models.TextChoices):
        """How the last attempt ended."""

        DELIVERED = "delivered"  # the receiver took the event; nothing is sent again
        FAILED = (
            "failed"  # no answer, or one that speaks about the moment: tried again while attempts are left
        )
        REFUSED = "refused"  # the same request would be refused again: a dead letter

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="deliveries")
    org = models.CharField(max_length=128)
    event_id = models.CharField(max_length=128)
    event_type = models.CharField(max_length=128)
    outcome = models.CharField(max_length=12, choices=Outcome)
    attempts = models.PositiveIntegerField(
        default=0, help_text="All attempts, those after a replay included."
    )
    status = models.PositiveSmallIntegerField("HTTP status", null=True, help_text="Empty: no answer came.")
    excerpt = models.TextField("answer", blank=True)
    error = models.CharField(max_length=500, blank=True)
    duration_ms = models.PositiveIntegerField("duration (ms)", help_text="Of the last attempt.")
    first_attempt_at = models.DateTimeField()
    last_attempt_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ("-last_attempt_at", "-pk")
        constraints = [
            models.UniqueConstraint(fields=("event_id", "endpoint"), name="one_delivery_per_event")
        ]
        indexes = [models.Index(fields=("org", "outcome", "-last_attempt_at"), name="delivery_by_org")]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id} to {self.org}"
