"""What died of which error: parked letters grouped by their fingerprint, with a trend by the hour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, F, Max, OuterRef, Subquery
from django.db.models.functions import Substr
from django.utils import timezone

from queueops.engine.rules.states import LetterStatus
from queueops.models import DeadLetter
from queueops.models.querysets import DeadLetterQuerySet
from queueops.ops import permissions
from queueops.ops.letter_filters import matching
from queueops.ops.masking import mask_text
from queueops.ops.permissions import Actor

__all__ = ["Group", "groups", "since"]

#: The groups are those of so many of the newest letters.
LOOKED_AT = 20_000
#: Longest time that is looked back.
MOST_HOURS = 744
MOST = 200
_MESSAGE = 300
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Group:
    """Parked letters of one error that died in the time asked for.

    Attributes:
        task, queue, error_class, message: of the newest one; `error_class` is the reason where there was no
            error. The message has its secrets masked.
        first_died_at: when the first letter of this error died that is still there, also before that time.
        last_died_at: when the newest one died.
        trend: how many died in each hour, oldest first; the last one is the hour that runs.
    """

    fingerprint: str
    task: str
    queue: str
    error_class: str
    message: str
    count: int
    first_died_at: datetime
    last_died_at: datetime
    trend: tuple[int, ...]


def groups(actor: Actor, *, queue: str = "", org: str = "", hours: int = 24, limit: int = 50) -> list[Group]:
    """The errors that most parked letters died of lately, the most frequent first.

    Which errors these are is told by the newest 20,000 letters of that time; how many letters each has, by
    all of them.

    Args:
        queue, org: only their letters; "" is any.
        hours: how far back, the running hour included; 1 to 744.
        limit: groups, 1 to 200.

    Raises:
        PermissionDenied: the actor may not see letters.
    """
    actor.require(permissions.VIEW_LETTERS)
    hours = min(max(1, hours), MOST_HOURS)
    first = since(hours)
    moments = [first + _HOUR * number for number in range(hours + 1)]
    parked, _ = matching(queue=queue, org=org, status=LetterStatus.PARKED.value, died_since=moments[0])
    newest = _newest(parked, min(max(1, limit), MOST))
    examples = _examples(number for number, _ in newest.values())
    only = {"status": LetterStatus.PARKED.value, "queue": queue, "org": org}
    trends = DeadLetter.objects.counted_by_span(list(newest), moments, **only)
    found = [
        Group(
            fingerprint=one,
            task=example["task"],
            queue=example["queue"],
            error_class=example["error_class"] or example["reason"],
            message=mask_text(example["told"]),
            count=sum(trends[one]),
            first_died_at=example["first"],
            last_died_at=newest[one][1],
            trend=tuple(trends[one]),
        )
        for one in newest
        # A letter that was purged since it was found takes its group along.
        if (example := examples.get(one))
    ]
    return sorted(found, key=lambda group: (-group.count, group.fingerprint))


def since(hours: int) -> datetime:
    """The moment from which `groups` counts: so many whole hours back, the running one included."""
    running = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return running + _HOUR - _HOUR * hours


def _newest(letters: DeadLetterQuerySet, limit: int) -> dict[str, tuple[int, datetime]]:
    """The most frequent fingerprints, each with the number of its newest row and its last death."""
    ordered = letters.order_by("-died_at", "-id").values_list("died_at", flat=True)
    for bound in ordered[LOOKED_AT : LOOKED_AT + 1]:
        letters = letters.died_since(bound)
    rows = letters.order_by().values("fingerprint")
    counted = rows.annotate(letters=Count("id"), newest=Max("id"), last=Max("died_at"))
    most = counted.order_by("-letters", "fingerprint").values_list("fingerprint", "newest", "last")
    return {fingerprint: (number, last) for fingerprint, number, last in most[:limit]}


def _examples(letters: Iterable[int]) -> Mapping[str, dict[str, Any]]:
    same = DeadLetter.objects.filter(fingerprint=OuterRef("fingerprint")).order_by("died_at", "id")
    rows = DeadLetter.objects.filter(pk__in=list(letters)).values(
        *("fingerprint", "task", "queue", "error_class", "reason"),
        told=Substr(F("error_message"), 1, _MESSAGE),
        first=Subquery(same.values("died_at")[:1]),
    )
    return {row["fingerprint"]: row for row in rows}
