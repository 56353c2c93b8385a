"""API tokens in admin: made here, shown once, revoked here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.safestring import SafeString

from queueops.admin import pretty
from queueops.admin.paginator import BoundedPaginator
from queueops.models import ApiToken, AuditEntry, Scope
from queueops.ops import permissions, tokens
from queueops.ops.permissions import Actor

__all__ = ["ApiTokenAdmin"]

if TYPE_CHECKING:
    Base = admin.ModelAdmin[ApiToken]
else:
    Base = admin.ModelAdmin


@admin.register(ApiToken)
class ApiTokenAdmin(Base):
    """People see and make tokens of their own; who may see tokens sees all."""

    list_display = ("name", "whose", "reach", "begins", "state", "used", "ends")
    list_display_links = ("name",)
    ordering = ("-id",)
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    paginator = BoundedPaginator
    list_per_page = 100
    list_max_show_all = 0
    actions = ("revoke_selected",)
    raw_id_fields = ("user",)

    class Media:
        css = {"all": ("queueops/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(permissions.CREATE_TOKEN))

    def has_view_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        if request.user.has_perm(permissions.VIEW_TOKENS):
            return True
        return self.has_add_permission(request) and (obj is None or obj.user == request.user)

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(permissions.REVOKE_TOKEN)) or self.has_add_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        rows = super().get_queryset(request).select_related("user")
        return rows if request.user.has_perm(permissions.VIEW_TOKENS) else rows.filter(user=request.user.pk)

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> tuple[str, ...]:
        if obj is not None:
            return ("name", "whose", "reach", "begins", "state", "used", "created_at", "created_by", "ends")
        # Whoever makes a token for somebody else gets what that person may do.
        whose = ("user",) if getattr(request.user, "is_superuser", False) else ()
        return ("name", *whose, "scope", "expires_at")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> tuple[str, ...]:
        return self.get_fields(request, obj) if obj is not None else ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"user": request.user.pk, **super().get_changeform_initial_data(request)}

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        if obj is None and "user" not in form.base_fields:
            # Validated with the row: whose it is stands before the form is read.
            return type("OwnTokenForm", (form,), {"_post_clean": _of(request, form)})
        return form

    # The verbs

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        made = tokens.create(_actor(request), obj.user, obj.name, Scope(obj.scope), expires_at=obj.expires_at)
        obj.__dict__.update(made.row.__dict__, secret=made.secret)

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        # On this page and nowhere else: a message would wait in a cookie or in the session.
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "title": "Token created",
            "token": obj,
        }
        response = TemplateResponse(request, "admin/queueops/apitoken/created.html", context)
        add_never_cache_headers(response)
        return response

    @admin.action(description="Revoke selected tokens", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        count = tokens.revoke(_actor(request), queryset.values_list("pk", flat=True))
        self.message_user(request, f"{count:,} token{'' if count == 1 else 's'} revoked.", messages.SUCCESS)

    # The list

    @admin.display(description="of", ordering="user")
    def whose(self, token: ApiToken) -> str:
        return token.user.get_username()

    @admin.display(description="scope")
    def reach(self, token: ApiToken) -> str:
        return token.scope

    @admin.display(description="begins with")
    def begins(self, token: ApiToken) -> str:
        return f"{token.hint}…"

    @admin.display(description="state")
    def state(self, token: ApiToken) -> SafeString:
        return pretty.pill(token.ended(timezone.now()) or "valid")

    @admin.display(description="last used")
    def used(self, token: ApiToken) -> str | SafeString:
        return pretty.ago(token.last_used_at) if token.last_used_at else "never"

    @admin.display(description="expires")
    def ends(self, token: ApiToken) -> str:
        return pretty.moment(token.expires_at) or "never"


def _of(request: HttpRequest, form: Any) -> Any:
    def post_clean(self: Any) -> None:
        self.instance.user_id = request.user.pk
        form._post_clean(self)

    return post_clean


def _actor(request: HttpRequest) -> Actor:
    return Actor.of(request.user, AuditEntry.Surface.ADMIN)
