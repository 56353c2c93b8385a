"""Limits of resources in admin, with what the broker does about them now: breaker, gates, waiting jobs."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from queueops.admin import resource_live
from queueops.admin.paginator import BoundedPaginator
from queueops.admin.resource_operate import VERBS, OperateMixin
from queueops.errors import BrokerUnavailable, ConfigurationError, LimitInvalid
from queueops.models import AuditEntry, Resource
from queueops.ops import broker, panic, permissions, resource_limits, resources
from queueops.ops.permissions import Actor
from queueops.ops.resources import LiveResource

__all__ = ["ResourceAdmin"]

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Resource]
    BaseForm = forms.ModelForm[Resource]
else:
    Base, BaseForm = admin.ModelAdmin, forms.ModelForm

_AWAY = "What happens now cannot be shown: {} Limits can be changed; they are published when it is back."
#: Resources without a row that the list shows below.
_OTHERS = 50


def look(request: HttpRequest, names: Collection[str]) -> dict[str, LiveResource] | None:
    """The live picture of these resources; None, and a message to the person, when the broker is away."""
    if not names:
        return {}
    try:
        with broker.store() as store:
            return resources.live(store, names)
    except (BrokerUnavailable, ConfigurationError) as error:
        messages.warning(request, _AWAY.format(error))
        return None


class ResourceList(ChangeList):
    """The list with the live picture of its rows: one connection a page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        found = look(request, [row.name for row in rows]) if request.method == "GET" else None
        for row in rows:
            row.live = None if found is None else found.get(row.name)
        self.result_list = rows


class ResourceForm(BaseForm):
    """Refuses what the row would inherit and does not fit."""

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.errors and cleaned is not None:
            row = Resource(name=cleaned.get("name") or self.instance.name)
            for field in Resource.FIELDS:
                setattr(row, field, cleaned.get(field))
            try:
                resource_limits.with_row(row).limits()
            except LimitInvalid as refused:
                raise ValidationError(str(refused)) from refused
        return cleaned

    class Meta:
        model = Resource
        fields = "__all__"


@admin.register(Resource)
class ResourceAdmin(OperateMixin, Base):
    """A row is saved by the verb set_limit and deleted by reset_limit."""

    form = ResourceForm
    list_display = ("whose", "says", "now", "breaker_now", "closed")
    list_display_links = ("whose",)
    search_fields = ("name__startswith",)
    search_help_text = "The beginning of a resource's name."
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    paginator = BoundedPaginator
    list_per_page = 50
    list_max_show_all = 0
    actions = ("panic_selected", "panic_off_selected", "pause_selected", "resume_selected")
    change_form_template = "admin/queueops/resource/change_form.html"
    change_list_template = "admin/queueops/resource/change_list.html"

    class Media:
        css = {"all": ("queueops/admin.css",)}

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_operate"
        own = path("operate/<slug:verb>/", self.admin_site.admin_view(self.operate_view), name=name)
        return [own, *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ResourceList

    def get_readonly_fields(self, request: HttpRequest, obj: Resource | None = None) -> tuple[str, ...]:
        return ("name",) if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Resource | None = None) -> Any:
        opens = ("failure_share", "min_calls", "window_seconds")
        comes_back = ("open_seconds", "longest_open_seconds", "probes")
        return (
            (None, {"fields": ("name",)}),
            ("Limits", {"fields": (("rate", "burst"), "max_in_flight")}),
            ("Breaker", {"fields": ("breaker", opens, comes_back)}),
            ("Why", {"fields": ("note",)}),
        )

    def has_panic_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(permissions.PANIC))

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(permissions.PAUSE_RESOURCE))

    # The list

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, {**(extra_context or {}), "title": "Resources"})
        if isinstance(response, TemplateResponse) and response.context_data and request.method == "GET":
            response.context_data["others"] = self._others(request)
            response.context_data["may_panic"] = self.has_panic_permission(request)
        return response

    def _others(self, request: HttpRequest) -> list[dict[str, Any]]:
        """Resources that have limits or a state, and no row."""
        try:
            with broker.store() as store:
                rows = set(Resource.objects.values_list("name", flat=True))
                names = [name for name in resources.known(store) if name not in rows][:_OTHERS]
                found = resources.live(store, names)
        except (BrokerUnavailable, ConfigurationError):
            return []  # the rows have said so
        return [{"name": name, **resource_live.drawn(one)} for name, one in found.items()]

    @admin.display(description="resource", ordering="name")
    def whose(self, row: Resource) -> SafeString:
        return format_html(
            '<span class="qo-task">{}</span><span class="qo-under">{}</span>', row.name, row.note
        )

    @admin.display(description="limits")
    def says(self, row: Resource) -> SafeString:
        return resource_live.limits_of(row)

    @admin.display(description="now")
    def now(self, row: Resource) -> SafeString:
        return resource_live.picture(getattr(row, "live", None))

    @admin.display(description="breaker")
    def breaker_now(self, row: Resource) -> SafeString:
        return resource_live.breaker(getattr(row, "live", None))

    @admin.display(description="gate")
    def closed(self, row: Resource) -> SafeString:
        return resource_live.gate(getattr(row, "live", None))

    @admin.action(description="Panic: hold the jobs", permissions=["panic"])
    def panic_selected(self, request: HttpRequest, queryset: QuerySet[Resource]) -> HttpResponse:
        return self._confirm("panic", queryset)

    @admin.action(description="End panic", permissions=["panic"])
    def panic_off_selected(self, request: HttpRequest, queryset: QuerySet[Resource]) -> HttpResponse:
        return self._confirm("panic_off", queryset)

    @admin.action(description="Pause", permissions=["pause"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Resource]) -> HttpResponse:
        return self._confirm("pause", queryset)

    @admin.action(description="Resume", permissions=["pause"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Resource]) -> HttpResponse:
        return self._confirm("resume", queryset)

    def _confirm(self, verb: str, queryset: QuerySet[Resource]) -> HttpResponse:
        """To the page that says what would be held; its own page, so that a reload only asks again."""
        address = reverse("admin:queueops_resource_operate", args=[verb], current_app=self.admin_site.name)
        names = [("name", row.name) for row in queryset]
        return HttpResponseRedirect(f"{address}?{urlencode(names)}")

    # One row

    def render_change_form(
        self, request: HttpRequest, context: Any, add: bool = False, change: bool = False, form_url: str = "",
        obj: Resource | None = None,
    ) -> HttpResponse:  # fmt: skip
        if obj is not None and request.method == "GET":
            found = (look(request, [obj.name]) or {}).get(obj.name)
            context["live"] = resource_live.drawn(found) if found else None
            context["history"] = panic.history(obj.name, limit=10)
            context["operations"] = [
                (verb.name, verb.label) for verb in VERBS.values() if request.user.has_perm(verb.permission)
            ]
        return super().render_change_form(request, context, add, change, form_url, obj)

    # The verbs

    def save_model(self, request: HttpRequest, obj: Resource, form: Any, change: bool) -> None:
        resources.save_row(_actor(request), obj)
        transaction.on_commit(partial(_tell, request, obj))

    def delete_model(self, request: HttpRequest, obj: Resource) -> None:
        resources.reset_rows(_actor(request), [obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Resource]) -> None:
        resources.reset_rows(_actor(request), list(queryset))


def _actor(request: HttpRequest) -> Actor:
    return Actor.of(request.user, AuditEntry.Surface.ADMIN)


def _tell(request: HttpRequest, row: Resource) -> None:
    """Say so when what was saved has not reached the broker."""
    found = look(request, [row.name])
    if found and found[row.name].drift:
        messages.warning(
            request, "The broker does not have this limit yet; the workers publish it within a minute."
        )
