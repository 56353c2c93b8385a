"""Dead letters in admin: the list with its filters and groups, a letter's page, the way to the verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from queueops.admin import pretty
from queueops.admin.edit import EditMixin
from queueops.admin.filters import PARAMETERS, AgeFilter, FingerprintFilter, StatusFilter, values_filter
from queueops.admin.groups import GROUPED, groups
from queueops.admin.letter_page import HEAVY, letter_context
from queueops.admin.operate import VERBS, OperateMixin, Verb
from queueops.admin.paginator import BoundedPaginator
from queueops.admin.selection import Selection
from queueops.engine.rules.states import LetterStatus
from queueops.models import REASONS, DeadLetter
from queueops.ops import permissions
from queueops.ops.letter_search import HELP, search

__all__ = ["DeadLetterAdmin"]

if TYPE_CHECKING:
    Base = admin.ModelAdmin[DeadLetter]
else:
    Base = admin.ModelAdmin


class LetterList(ChangeList):
    """The list without the columns it does not show."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[DeadLetter]:
        return super().get_queryset(request, exclude_parameters).defer(*HEAVY)


@admin.register(DeadLetter)
class DeadLetterAdmin(EditMixin, OperateMixin, Base):
    """Rows are written by the collector and changed by verbs alone: nothing is added or typed over."""

    list_display: tuple[str, ...] = ("job", "error", "tries", "died", "state")
    list_display_links = ("job",)
    list_filter = (
        StatusFilter,
        AgeFilter,
        FingerprintFilter,
        values_filter("reason", "reason", REASONS),
        values_filter("queue", "queue"),
        values_filter("org", "org"),
        values_filter("error_class", "error"),
        values_filter("task", "task"),
    )
    ordering = ("-died_at", "-id")
    sortable_by = ("died",)
    search_fields = ("task_id",)
    search_help_text = HELP
    paginator = BoundedPaginator
    show_full_result_count = False
    # Counting each filter's choices would read the table once per choice.
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 0
    actions = ("replay_selected", "discard_selected", "purge_selected")
    change_list_template = "admin/queueops/deadletter/change_list.html"

    class Media:
        css = {"all": ("queueops/admin.css",)}
        js = ("queueops/admin.js",)

    # What may be done

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: DeadLetter | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: DeadLetter | None = None) -> bool:
        return False

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(permissions.REPLAY))

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(permissions.DISCARD))

    def has_purge_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(permissions.PURGE))

    # Only what the filters know: another lookup could read the whole table, or guess at a payload bit by bit.
    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        return lookup in PARAMETERS

    # The list

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LetterList

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        # Where all letters have one status, the column would say the same in each row.
        return self.list_display if request.GET.get("status") == "all" else self.list_display[:-1]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[DeadLetter], search_term: str
    ) -> tuple[QuerySet[DeadLetter], bool]:
        return search(queryset, search_term), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().changelist_view(request, {**(extra_context or {}), "title": "Dead letters"})
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            found = response.context_data["cl"]
            query = found.get_query_string().removeprefix("?")
            response.context_data |= {
                "groups": groups(found) if found.result_count else [],
                "grouped": GROUPED,
                "matching": Selection.url_query(None, query),
                "offered": _offered(request),
            }
        return response

    @admin.display(description="job")
    def job(self, letter: DeadLetter) -> SafeString:
        return format_html(
            '<span class="qo-task" title="{}">{}</span><span class="qo-under">{} · {}</span>',
            letter.task,
            pretty.task_name(letter.task),
            letter.org or "no org",
            letter.queue,
        )

    @admin.display(description="error")
    def error(self, letter: DeadLetter) -> SafeString:
        return format_html(
            '<span class="qo-error">{}</span><span class="qo-under">{}</span>',
            letter.error_class.rpartition(".")[2] or letter.get_reason_display(),
            pretty.short(letter.error_message),
        )

    @admin.display(description="reason")
    def tries(self, letter: DeadLetter) -> SafeString:
        count = letter.attempt_count
        return format_html(
            '{}<span class="qo-under">{} attempt{}{}</span>',
            pretty.pill(letter.reason, "reason"),
            count,
            "" if count == 1 else "s",
            f", replay {letter.replay_number}" if letter.replay_number else "",
        )

    @admin.display(description="died", ordering="died_at")
    def died(self, letter: DeadLetter) -> SafeString:
        return pretty.ago(letter.died_at)

    @admin.display(description="status")
    def state(self, letter: DeadLetter) -> SafeString:
        return pretty.pill(letter.status)

    @admin.action(description="Replay", permissions=["replay"])
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> HttpResponse:
        return self._confirm(request, "replay")

    @admin.action(description="Discard", permissions=["discard"])
    def discard_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> HttpResponse:
        return self._confirm(request, "discard")

    @admin.action(description="Purge", permissions=["purge"])
    def purge_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> HttpResponse:
        return self._confirm(request, "purge")

    def _confirm(self, request: HttpRequest, verb: str) -> HttpResponse:
        """To the page that says how many and which; its own page, so that a reload only asks again."""
        everything = request.POST.get("select_across") == "1"
        chosen = [int(pk) for pk in request.POST.getlist(ACTION_CHECKBOX_NAME) if pk.isdigit()]
        query = Selection.url_query(None if everything else chosen, request.GET.urlencode())
        return HttpResponseRedirect(f"{self.url('operate', verb)}?{query}")

    # One letter

    def get_urls(self) -> list[URLPattern]:
        names = f"{self.opts.app_label}_{self.opts.model_name}"
        wrap = self.admin_site.admin_view
        own = [
            path("operate/<slug:verb>/", wrap(self.operate_view), name=f"{names}_operate"),
            path("<int:letter_id>/edit/", wrap(self.edit_view), name=f"{names}_edit"),
        ]
        return [*own, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        letter = self.get_object(request, object_id)
        if letter is None:
            messages.warning(request, f"There is no letter {object_id}; it may have been purged.")
            return HttpResponseRedirect(self.url("changelist"))
        if not self.has_view_permission(request, letter):
            raise PermissionDenied
        return self.page(request, "letter.html", letter_context(letter, request.user))


def _offered(request: HttpRequest) -> list[Verb]:
    """The verbs on all that match; none where the list shows only what is closed."""
    if request.GET.get("status") in (LetterStatus.REPLAYED, LetterStatus.DISCARDED):
        return []
    verbs = (VERBS["replay"], VERBS["discard"])
    return [verb for verb in verbs if request.user.has_perm(verb.permission)]
