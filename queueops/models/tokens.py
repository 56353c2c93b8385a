"""The row of an API token: whose it is, how far it reaches, until when. The token itself is kept nowhere."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

__all__ = ["ApiToken", "Scope"]


class Scope(models.TextChoices):
    """How far a token reaches; each scope holds those before it. Its user's permissions still bound it."""

    READ = "read", "read: look at everything"
    OPERATE = "operate", "operate: and change what can be changed back"
    ADMIN = "admin", "admin: and limits, configuration, and what cannot be undone"

    def holds(self, other: Scope) -> bool:
        """Whether who has this scope has the other one too."""
        order = list(Scope)
        return order.index(self) >= order.index(other)


class ApiToken(models.Model):
    """A token of the REST API. It may do what its scope holds and what its user may do, never more."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="queueops_tokens"
    )
    name = models.CharField(max_length=100, help_text="What uses it, as: deploy script.")
    scope = models.CharField(max_length=16, choices=Scope.choices, default=Scope.READ)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField("begins with", max_length=12, editable=False)
    created_at = models.DateTimeField("created", default=timezone.now, editable=False)
    created_by = models.CharField(max_length=150, editable=False)
    expires_at = models.DateTimeField("expires", null=True, blank=True, help_text="Empty: never.")
    revoked_at = models.DateTimeField("revoked", null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField("last used", null=True, blank=True, editable=False)

    objects: ClassVar[models.Manager[ApiToken]] = models.Manager()

    class Meta:
        app_label = "queueops"
        verbose_name = "API token"
        default_permissions = ("view",)
        permissions = [
            ("create_apitoken", "Can create API tokens of their own"),
            ("revoke_apitoken", "Can revoke API tokens"),
        ]

    def __str__(self) -> str:
        return f"token {self.pk} ({self.name})"

    def clean(self) -> None:
        """Refuse an end that has passed."""
        if self.expires_at is not None and self.expires_at <= timezone.now():
            raise ValidationError({"expires_at": "This time has passed."})

    def ended(self, now: datetime) -> str:
        """Why the token is worth nothing at the moment `now`: "revoked", "expired", or "" if it is valid."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else ""
