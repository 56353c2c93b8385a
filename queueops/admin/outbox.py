"""The outbox in admin: what has not reached the broker yet, and what the broker refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from queueops.admin import pretty
from queueops.admin.paginator import BoundedPaginator
from queueops.models import AuditEntry, OutboxEntry
from queueops.ops import outbox, permissions
from queueops.ops.permissions import Actor

__all__ = ["OutboxEntryAdmin"]

if TYPE_CHECKING:
    Base = admin.ModelAdmin[OutboxEntry]
else:
    Base = admin.ModelAdmin


class StateFilter(admin.SimpleListFilter):
    """Refused, or still on the way."""

    title = "state"
    parameter_name = "state"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[OutboxEntry]
    ) -> list[tuple[str, str]]:
        return [("refused", "refused"), ("waiting", "waiting")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxEntry]) -> QuerySet[OutboxEntry]:
        if self.value() in ("refused", "waiting"):
            return queryset.filter(refused_at__isnull=self.value() == "waiting")
        return queryset


@admin.register(OutboxEntry)
class OutboxEntryAdmin(Base):
    """Rows are written by publishers and end by the relay, or by a verb."""

    list_display = ("written", "job", "state", "error")
    list_display_links = ("written",)
    list_filter = (StateFilter,)
    ordering = ("id",)
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    paginator = BoundedPaginator
    list_per_page = 100
    list_max_show_all = 0
    actions = ("retry_selected", "discard_selected")
    fields = ("written", "queue", "org", "task", "task_id", "state", "tries", "error")
    readonly_fields = fields

    class Media:
        css = {"all": ("queueops/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: OutboxEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: OutboxEntry | None = None) -> bool:
        return False

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(permissions.RETRY_OUTBOX))

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(permissions.DISCARD_OUTBOX))

    def lookup_allowed(self, lookup: str, value: object, request: HttpRequest | None = None) -> bool:
        return lookup == "state"

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxEntry]:
        # Payloads are for those who may see them, and here for nobody.
        return super().get_queryset(request).defer("message", "head")

    @admin.display(description="written")
    def written(self, entry: OutboxEntry) -> SafeString:
        return pretty.ago(entry.created_at)

    @admin.display(description="job")
    def job(self, entry: OutboxEntry) -> SafeString:
        return format_html(
            '<span class="qo-task">{}</span><span class="qo-under">{} · {}</span>',
            pretty.task_name(entry.task),
            entry.org,
            entry.queue,
        )

    @admin.display(description="state")
    def state(self, entry: OutboxEntry) -> SafeString:
        return pretty.pill("refused" if entry.refused_at else "waiting")

    @admin.action(description="Retry refused entries", permissions=["retry"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[OutboxEntry]) -> None:
        count = outbox.retry(_actor(request), queryset.values_list("pk", flat=True))
        self._tell(request, count, "go to the broker again")

    @admin.action(description="Discard refused entries", permissions=["discard"])
    def discard_selected(self, request: HttpRequest, queryset: QuerySet[OutboxEntry]) -> None:
        count = outbox.discard(_actor(request), queryset.values_list("pk", flat=True))
        self._tell(request, count, "are discarded")

    def _tell(self, request: HttpRequest, count: int, what: str) -> None:
        told = (
            f"{count:,} refused entries {what}."
            if count
            else "None of these was refused: they go by themselves."
        )
        self.message_user(request, told, messages.SUCCESS if count else messages.WARNING)


def _actor(request: HttpRequest) -> Actor:
    return Actor.of(request.user, AuditEntry.Surface.ADMIN)
