"""Who did what, when, from where."""

from __future__ import annotations

from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest

from queueops.dashboard.page import Page, page
from queueops.models import AuditEntry
from queueops.ops import audit_log
from queueops.ops.permissions import Actor

__all__ = ["audit"]

_ROWS = 50


class Filters(forms.Form):
    """Which entries; an empty field is any."""

    verb = forms.CharField(required=False, max_length=32)
    who = forms.CharField(required=False, max_length=150)
    target = forms.CharField(required=False, max_length=255)
    surface = forms.ChoiceField(required=False, choices=[("", "anywhere"), *AuditEntry.Surface.choices])


def _audit(request: HttpRequest, actor: Actor) -> Page:
    filters = Filters(request.GET)
    given = filters.cleaned_data if filters.is_valid() else {}
    before = request.GET.get("before", "")
    rows = audit_log.listed(actor, **given, before=int(before) if before.isdecimal() else None, limit=_ROWS)
    said = {name: value for name, value in given.items() if value}
    following = urlencode({**said, "before": rows[-1].pk}) if len(rows) == _ROWS else ""
    context = {"filters": filters, "rows": rows, "following": following}
    return Page("audit.html", "Audit log", context, "audit", live=not before)


audit = page(_audit)
