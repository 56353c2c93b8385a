"""Dead letters by what they died of, and one letter's group."""

from __future__ import annotations

from django import forms
from django.http import HttpRequest

from queueops.conf import config
from queueops.dashboard.page import Page, page
from queueops.ops import error_groups
from queueops.ops.permissions import Actor

__all__ = ["letters"]

_HOURS = (("24", "a day"), ("72", "3 days"), ("168", "a week"))


class Filters(forms.Form):
    """Which groups."""

    queue = forms.ChoiceField(required=False)
    hours = forms.ChoiceField(required=False, choices=_HOURS, label="Within")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        queue = self.fields["queue"]
        assert isinstance(queue, forms.ChoiceField)
        queue.choices = [("", "any queue"), *((name, name) for name in sorted(config().queues))]


def _letters(request: HttpRequest, actor: Actor) -> Page:
    filters = Filters(request.GET)
    given = filters.cleaned_data if filters.is_valid() else {}
    queue, hours = given.get("queue", ""), int(given.get("hours") or 24)
    found = error_groups.groups(actor, queue=queue, hours=hours)
    context = {
        "groups": found,
        "filters": filters,
        "queue": queue,
        "hours": hours,
        "total": sum(group.count for group in found),
    }
    return Page("letters.html", "Dead letters", context, "letters")


letters = page(_letters)
