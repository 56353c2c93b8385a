"""Limits of orgs in admin, with what the broker does about them now."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from queueops.admin import live, pretty
from queueops.admin.paginator import BoundedPaginator
from queueops.conf import config
from queueops.errors import BrokerUnavailable, ConfigurationError
from queueops.models import AuditEntry, OrgLimit
from queueops.ops import broker, limits, permissions
from queueops.ops.limits import LiveLimit
from queueops.ops.permissions import Actor

__all__ = ["OrgLimitAdmin"]

if TYPE_CHECKING:
    Base = admin.ModelAdmin[OrgLimit]
    BaseForm = forms.ModelForm[OrgLimit]
else:
    Base, BaseForm = admin.ModelAdmin, forms.ModelForm

_AWAY = "What happens now cannot be shown: {} Limits can be changed; they are published when it is back."


def look(request: HttpRequest, rows: list[OrgLimit]) -> dict[int, list[LiveLimit]] | None:
    """The live picture of these rows; None, and a message to the person, when the broker is away."""
    if not rows:
        return {}
    try:
        with broker.store() as store:
            return limits.live(store, rows)
    except (BrokerUnavailable, ConfigurationError) as error:
        messages.warning(request, _AWAY.format(error))
        return None


class LimitList(ChangeList):
    """The list with the live picture of its rows: one connection a page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        found = look(request, rows) if request.method == "GET" else None
        for row in rows:
            row.live = None if found is None else found.get(row.pk, [])
        self.result_list = rows


class OrgLimitForm(BaseForm):
    """The queue is chosen from those that exist: a limit for a misspelt one would silently do nothing."""

    queue = forms.ChoiceField(required=False, help_text=OrgLimit._meta.get_field("queue").help_text)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "queue" in self.fields:
            known = sorted({*config().queues, *([self.instance.queue] if self.instance.queue else [])})
            self.fields["queue"].choices = [("", "all queues"), *((name, name) for name in known)]  # type: ignore[attr-defined]

    class Meta:
        model = OrgLimit
        fields = "__all__"


@admin.register(OrgLimit)
class OrgLimitAdmin(Base):
    """A row is saved by the verb set_limit and deleted by reset_limit."""

    form = OrgLimitForm
    list_display = ("whose", "where", "says", "now", "closed", "ends")
    list_display_links = ("whose",)
    search_fields = ("org__startswith",)
    search_help_text = "The beginning of an org's name."
    list_filter = ("paused",)
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    paginator = BoundedPaginator
    list_per_page = 50
    list_max_show_all = 0
    change_form_template = "admin/queueops/orglimit/change_form.html"

    class Media:
        css = {"all": ("queueops/admin.css",)}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LimitList

    def get_readonly_fields(self, request: HttpRequest, obj: OrgLimit | None = None) -> tuple[str, ...]:
        # Whose limit it is does not change; it would leave the other org as it was and tell nobody.
        fixed = ("org", "where") if obj else ()
        if request.user.has_perm(permissions.PAUSE_ORG):
            return fixed
        return (*fixed, "paused", "valid_until") if obj and obj.paused else (*fixed, "paused")

    def get_fieldsets(self, request: HttpRequest, obj: OrgLimit | None = None) -> Any:
        return (
            (None, {"fields": (("org", "where" if obj else "queue"),)}),
            ("Limits", {"fields": ("weight", ("rpm", "burst"), ("max_in_flight", "share"), "paused")}),
            ("How long, and why", {"fields": ("valid_until", "note")}),
        )

    # The list

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "title": "Limits of orgs"})

    @admin.display(description="org", ordering="org")
    def whose(self, row: OrgLimit) -> SafeString:
        return format_html(
            '<span class="qo-task">{}</span><span class="qo-under">{}</span>', row.org, row.note
        )

    @admin.display(description="queue", ordering="queue")
    def where(self, row: OrgLimit) -> str:
        return row.queue or "all queues"

    @admin.display(description="limits")
    def says(self, row: OrgLimit) -> SafeString:
        return live.limits_of(row)

    @admin.display(description="now")
    def now(self, row: OrgLimit) -> SafeString:
        return live.picture(getattr(row, "live", None))

    @admin.display(description="gate")
    def closed(self, row: OrgLimit) -> SafeString:
        return live.gate(getattr(row, "live", None))

    @admin.display(description="ends", ordering="valid_until")
    def ends(self, row: OrgLimit) -> str:
        return pretty.moment(row.valid_until)

    # One row

    def render_change_form(
        self, request: HttpRequest, context: Any, add: bool = False, change: bool = False, form_url: str = "",
        obj: OrgLimit | None = None,
    ) -> HttpResponse:  # fmt: skip
        if obj is not None and request.method == "GET":
            found = look(request, [obj])
            context["live"] = [
                {
                    "one": one,
                    "gate": live.gate([one]),
                    "rate_left": live.rate_left(one),
                    "sources": live.sources(one),
                }
                for one in (found or {}).get(obj.pk, [])
            ]
        return super().render_change_form(request, context, add, change, form_url, obj)

    # The verbs

    def save_model(self, request: HttpRequest, obj: OrgLimit, form: Any, change: bool) -> None:
        limits.save_row(_actor(request), obj)
        transaction.on_commit(partial(_tell, request, obj))

    def delete_model(self, request: HttpRequest, obj: OrgLimit) -> None:
        limits.reset_rows(_actor(request), [obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[OrgLimit]) -> None:
        limits.reset_rows(_actor(request), list(queryset))


def _actor(request: HttpRequest) -> Actor:
    return Actor.of(request.user, AuditEntry.Surface.ADMIN)


def _tell(request: HttpRequest, row: OrgLimit) -> None:
    """Say so when what was saved has not reached the broker."""
    found = look(request, [row])
    if found and any(one.drift for one in found[row.pk]):
        messages.warning(
            request, "The broker does not have this limit yet; the workers publish it within a minute."
        )
