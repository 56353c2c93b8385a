from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from queueops.admin import resource_live
from queueops.admin.resources import look
from queueops.ops import panic
from tasks.models import Delivery, Endpoint
from tasks.resources import of_endpoint


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]
    """An endpoint; its secret is given once, when it is made, and can be replaced but not read again."""

    class Meta:
        model = Endpoint
        fields = (
            "org", "url", "description", "active", "allow_private", "rate", "max_in_flight", "secret"
        )  # fmt: skip

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


class EndpointList(ChangeList):
    """The list with the live picture of each endpoint's resource: one connection a page."""

    def get_results(self, request: HttpRequest) -> None:
        """Put the picture beside each row."""
        super().get_results(request)
        rows = list(self.result_list)
        names = [of_endpoint(row.pk) for row in rows]
        found = look(request, names) if request.method == "GET" else None
        for row, name in zip(rows, names, strict=True):
            row.live = None if found is None else found.get(name)
        self.result_list = rows


@admin.register(Endpoint)
class EndpointAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Where each org's events go, and whether they go there now."""

    form = EndpointForm
    list_display = ("org", "url", "active", "now", "breaker", "description")
    change_form_template = "admin/queueops/resource/change_form.html"
    list_per_page = 50
    list_filter = ("active", "allow_private")
    search_fields = ("org", "url", "description")
    actions = ("switch_on", "switch_off")

    class Media:
        css = {"all": ("queueops/admin.css",)}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list with the live picture."""
        return EndpointList

    @admin.display(description="now")
    def now(self, endpoint: Endpoint) -> SafeString:
        """Jobs of the endpoint in flight and waiting."""
        return resource_live.picture(getattr(endpoint, "live", None))

    @admin.display(description="breaker")
    def breaker(self, endpoint: Endpoint) -> SafeString:
        """Whether the endpoint's jobs are held because they failed, and until when."""
        operate = reverse("admin:queueops_resource_operate", args=["panic_off"])
        live = getattr(endpoint, "live", None)
        told = resource_live.breaker(live)
        held = live is not None and live.snapshot.breaker != "closed"
        if not held:
            return told
        return format_html('{}<a href="{}?name={}">end</a>', told, operate, of_endpoint(endpoint.pk))

    def render_change_form(
        self, request: HttpRequest, context: Any, add: bool = False, change: bool = False, form_url: str = "",
        obj: Endpoint | None = None,
    ) -> HttpResponse:  # fmt: skip
        """Show the endpoint's resource below its form."""
        if obj is not None and request.method == "GET":
            name = of_endpoint(obj.pk)
            found = (look(request, [name]) or {}).get(name)
            context["live"] = resource_live.drawn(found) if found else None
            context["history"] = panic.history(name, limit=10)
        return super().render_change_form(request, context, add, change, form_url, obj)

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
