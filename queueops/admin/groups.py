"""What died most: the errors of a list of letters, counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models.functions import Substr

from queueops.admin import pretty

__all__ = ["GROUPED", "groups"]

#: How many of the newest letters are looked at.
GROUPED = 1_000

_SHOWN = 5


def groups(found: ChangeList) -> list[dict[str, Any]]:
    """The most frequent errors among the newest letters of the list, with the newest message of each."""
    newest = found.queryset.order_by("-died_at", "-id").values_list(
        "fingerprint", "task", "error_class", "reason", Substr("error_message", 1, 300)
    )[:GROUPED]
    counted: Counter[str] = Counter()
    example: dict[str, tuple[str, str, str]] = {}
    for fingerprint, task, error, reason, told in newest:
        counted[fingerprint] += 1
        example.setdefault(fingerprint, (task, error or reason, told))
    if len(counted) < 2:
        return []
    most = counted.most_common(_SHOWN)
    return [
        {
            "count": count,
            "share": round(100 * count / most[0][1]),
            "task": pretty.task_name(example[fingerprint][0]),
            "error": example[fingerprint][1].rpartition(".")[2],
            "told": pretty.short(example[fingerprint][2], 110),
            "query": found.get_query_string({"fingerprint": fingerprint}),
        }
        for fingerprint, count in most
    ]
