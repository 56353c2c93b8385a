"""The audit log in admin: to be read, never to be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from queueops.admin import pretty
from queueops.admin.filters import values_filter
from queueops.admin.paginator import BoundedPaginator
from queueops.models import AuditEntry
from queueops.ops import audit_log
from queueops.ops.permissions import Actor

__all__ = ["AuditEntryAdmin"]

if TYPE_CHECKING:
    Base = admin.ModelAdmin[AuditEntry]
else:
    Base = admin.ModelAdmin


@admin.register(AuditEntry)
class AuditEntryAdmin(Base):
    """Who did what, when, to what, how many, from where."""

    list_display = ("when", "who", "verb", "target", "result_count", "surface")
    list_display_links = ("when",)
    list_filter = (
        values_filter("verb", "verb"),
        values_filter("who", "who"),
        values_filter("surface", "surface"),
    )
    ordering = ("-at", "-id")
    sortable_by = ("when",)
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    paginator = BoundedPaginator
    list_per_page = 100
    list_max_show_all = 0
    fields = ("when", "who", "verb", "target", "result_count", "surface", "details")
    readonly_fields = fields

    class Media:
        css = {"all": ("queueops/admin.css",)}

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AuditEntry | None:
        entry = super().get_object(request, object_id, from_field)
        return entry and audit_log.shown(Actor.of(request.user, AuditEntry.Surface.ADMIN), entry)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "title": "Audit log"})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup in ("verb", "who", "surface")

    @admin.display(description="when", ordering="at")
    def when(self, entry: AuditEntry) -> str:
        return pretty.moment(entry.at)

    @admin.display(description="parameters")
    def details(self, entry: AuditEntry) -> SafeString:
        return format_html('<pre class="qo-code">{}</pre>', pretty.json_text(entry.parameters))
