from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from tasks.models import Delivery, Endpoint


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]
    """An endpoint; its secret is given once, when it is made, and can be replaced but not read again."""

    class Meta:
        model = Endpoint
        fields = ("org", "url", "description", "active", "allow_private", "secret")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        secret = self.fields.get("secret")
        if secret is None or self.instance.pk is None:
            return
        secret.required = False
        secret.initial = ""
        self.initial["secret"] = ""
        secret.help_text = "Leave empty to keep the secret, or paste a new one: whsec_ and base64."

    def clean_secret(self) -> str:
        """Return the new secret, or the present one where the field was left empty."""
        return str(self.cleaned_data["secret"] or self.instance.secret)


@admin.register(Endpoint)
class EndpointAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Where each org's events go."""

    form = EndpointForm
    list_display = ("org", "url", "active", "allow_private", "description", "created_at")
    list_filter = ("active", "allow_private")
    search_fields = ("org", "url", "description")
    actions = ("switch_on", "switch_off")

    @admin.action(description="Switch on", permissions=["change"])
    def switch_on(self, request: HttpRequest, queryset: Any) -> None:
        """Let the selected endpoints receive events."""
        self.message_user(request, f"{queryset.update(active=True)} switched on.")

    @admin.action(description="Switch off", permissions=["change"])
    def switch_off(self, request: HttpRequest, queryset: Any) -> None:
        """Send no more events to the selected endpoints."""
        self.message_user(request, f"{queryset.update(active=False)} switched off.")

    def get_exclude(self, request: HttpRequest, obj: Endpoint | None = None) -> tuple[str, ...]:
        """Keep the secret from people who may only look: Django shows them every field as text."""
        return () if obj is None or self.has_change_permission(request, obj) else ("secret",)


@admin.register(Delivery)
class DeliveryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What became of each event; written by the workers, read here."""

    list_display = ("last_attempt_at", "org", "event_type", "outcome", "attempts", "status", "duration_ms")
    list_filter = ("outcome", "last_attempt_at")
    search_fields = ("=event_id", "=org", "=event_type")
    list_select_related = ("endpoint",)
    # Counting all rows for the page's head costs more than the page.
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody writes a delivery by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Delivery | None = None) -> bool:
        """Nobody edits what happened."""
        return False
