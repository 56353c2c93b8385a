"""Which letters a page of admin speaks of: a few by their numbers, or all that match a filter."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.core.exceptions import BadRequest
from django.http import HttpRequest, QueryDict
from django.utils.dateparse import parse_datetime

from queueops.models import DeadLetter
from queueops.models.querysets import DeadLetterQuerySet

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

__all__ = ["Selection"]

_MOST_IDS = 1_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Letters, and how a form can name them again."""

    letters: DeadLetterQuerySet
    ids: tuple[int, ...]
    query: str
    until: str

    @classmethod
    def read(
        cls, admin: ModelAdmin[DeadLetter], request: HttpRequest, data: QueryDict, until: str
    ) -> Selection:
        """The selection that `data` names: `ids` (numbers and commas) or `filter` (a list's query string).

        Args:
            until: ISO time; letters that die later do not belong to what the person saw and confirmed.
        """
        if "ids" in data:
            ids = _numbers(str(data["ids"]))
            return cls(DeadLetter.objects.filter(pk__in=ids), ids, data.get("filter", ""), until)
        moment = parse_datetime(until)
        if moment is None:
            raise BadRequest("until is no time")
        asked = copy.copy(request)
        asked.GET = QueryDict(data.get("filter", ""))
        # The list's own filters and search, so that what is acted on is what the list shows.
        found: Any = admin.get_changelist_instance(asked).queryset
        return cls(found.filter(died_at__lte=moment), (), data.get("filter", ""), until)

    @property
    def described(self) -> dict[str, Any]:
        """The selection for the audit log."""
        if self.ids:
            return {"letters": list(self.ids[:100])}
        return {"status": "parked", **QueryDict(self.query).dict(), "until": self.until}

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Hidden fields that name the selection in the next request."""
        named = [("ids", ",".join(map(str, self.ids)))] if self.ids else []
        return [*named, ("filter", self.query), ("until", self.until)]

    @staticmethod
    def url_query(ids: list[int] | None, query: str) -> str:
        """The query string of a page about these letters."""
        return urlencode({"ids": ",".join(map(str, ids)), "filter": query} if ids else {"filter": query})


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(dict.fromkeys(int(part) for part in text.split(",") if part))
    except ValueError:
        found = ()
    if not found or len(found) > _MOST_IDS or any(not 0 < number < 2**63 for number in found):
        raise BadRequest(f"ids must be 1 to {_MOST_IDS} numbers with commas between")
    return found
