"""Filters of the list of dead letters. None of them reads the table to find its choices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, ClassVar, TypeAlias

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils import timezone

from queueops.conf import config
from queueops.engine.rules.states import LetterStatus

__all__ = ["PARAMETERS", "AgeFilter", "StatusFilter", "values_filter"]

#: Every parameter the list understands besides search and page; other lookups are refused.
PARAMETERS = ("status", "age", "reason", "queue", "org", "task", "error_class", "fingerprint")

_LINKS = 12
_OFFERED = 100

#: A `DeadLetterQuerySet`; the base class names a wider one.
Letters: TypeAlias = Any


class StatusFilter(admin.SimpleListFilter):
    """Parked letters, unless asked otherwise: they are the ones that wait for somebody."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((status.value, status.value.capitalize()) for status in LetterStatus), ("all", "All")]

    def value(self) -> str:
        return super().value() or LetterStatus.PARKED.value

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        # The base class offers "All" as the choice of no parameter; here that is "Parked".
        for value, title in self.lookup_choices:
            parameter = {self.parameter_name: None if value == LetterStatus.PARKED else value}
            yield {
                "selected": self.value() == value,
                "query_string": changelist.get_query_string(parameter),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: Letters) -> Letters:
        if self.value() not in set(LetterStatus):
            return queryset
        narrowed = any(name in request.GET for name in PARAMETERS if name not in ("status", "age"))
        return queryset.of_status(self.value(), narrowed=narrowed)


class AgeFilter(admin.SimpleListFilter):
    """How long ago the job died."""

    title = "age"
    parameter_name = "age"

    _YOUNGER = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        days = config().dead_letter_retention_days
        return [
            ("1h", "Last hour"),
            ("24h", "Last 24 hours"),
            ("7d", "Last 7 days"),
            ("old", f"Older than {days} days"),
        ]

    def queryset(self, request: HttpRequest, queryset: Letters) -> Letters:
        if self.value() == "old":
            retention = timedelta(days=config().dead_letter_retention_days)
            return queryset.died_before(timezone.now() - retention)
        if self.value() in self._YOUNGER:
            return queryset.died_since(timezone.now() - self._YOUNGER[str(self.value())])
        return queryset


class ValuesFilter(admin.SimpleListFilter):
    """One value of an indexed column: links for a few values, a field with suggestions for many."""

    template = "admin/queueops/filter_values.html"
    #: How values are shown that have choices, as the reason has.
    words: ClassVar[dict[str, str]] = {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        found = model_admin.model.objects.values_of(str(self.parameter_name), _OFFERED)
        self.is_long = len(found) > _LINKS
        return [(value, self.words.get(value, value) or "(none)") for value in found]

    def has_output(self) -> bool:
        return super().has_output() or self.value() is not None

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        self.hidden = [
            (name, value)
            for name, values in changelist.get_filters_params().items()
            for value in (values if isinstance(values, list) else [values])
            if name != self.parameter_name
        ]
        if changelist.query:
            self.hidden.append(("q", changelist.query))
        return super().choices(changelist)

    def queryset(self, request: HttpRequest, queryset: Letters) -> Letters:
        if self.value() is None:
            return queryset
        return queryset.filter(**{str(self.parameter_name): self.value()})


class FingerprintFilter(admin.SimpleListFilter):
    """The letters of one error; shown only while it is on: a fingerprint says nothing to a reader."""

    title = "error group"
    parameter_name = "fingerprint"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = self.value()
        return [(value, f"Group {value}")] if value else []

    def queryset(self, request: HttpRequest, queryset: Letters) -> Letters:
        return queryset.filter(fingerprint=self.value()) if self.value() else queryset


def values_filter(column: str, name: str, words: Iterable[tuple[str, str]] = ()) -> type[ValuesFilter]:
    """A filter on this column, under this title; `words` are the column's choices, where it has some."""
    return type(
        f"{column}_filter", (ValuesFilter,), {"title": name, "parameter_name": column, "words": dict(words)}
    )
