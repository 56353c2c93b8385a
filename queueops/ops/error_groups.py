"""What died of which error: parked letters grouped by their fingerprint, with a trend by the hour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import CharField, Count, F, Max, OuterRef, Subquery
from django.db.models.functions import Cast, Substr
from django.utils import timezone

from queueops.engine.rules.states import LetterStatus
from queueops.models import DeadLetter
from queueops.ops import permissions
from queueops.ops.letter_filters import matching
from queueops.ops.masking import mask_text
from queueops.ops.permissions import Actor
from queueops.querysets import DeadLetterQuerySet

__all__ = ["Group", "groups"]

#: Letters that are counted at most, the newest ones: what is older than they is not in the answer.
LOOKED_AT = 200_000
#: Longest time that is looked back.
MOST_HOURS = 24 * 31
_MESSAGE = 300
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Group:
    """Parked letters of one error that died in the time asked for.

    Attributes:
        task, queue, error_class, message: of the newest one; `error_class` is the reason where there was no
            error. The message has its secrets masked.
        first_died_at: when the first of them died that there is a letter of, also before that time.
        last_died_at: when the last of them died.
        trend: how many died in each hour, oldest first; the last one is the hour that runs.
        since: what died earlier is not counted; later than asked for where there are more than 200,000.
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
    since: datetime


def groups(actor: Actor, *, queue: str = "", org: str = "", hours: int = 24, limit: int = 50) -> list[Group]:
    """The errors that most parked letters died of lately, the most frequent first.

    Args:
        queue, org: only theirs; "" is any.
        hours: how far back, the running hour included; 1 to 744.
        limit: groups at most.

    Raises:
        PermissionDenied: the actor may not see letters.
    """
    actor.require(permissions.VIEW_LETTERS)
    hours = min(max(1, hours), MOST_HOURS)
    first_hour = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0) - _HOUR * (
        hours - 1
    )
    parked, _ = matching(queue=queue, org=org, status=LetterStatus.PARKED.value, died_since=first_hour)
    since = _bound(parked) or first_hour
    counted: dict[str, dict[str, int]] = {}
    newest: dict[str, int] = {}
    last: dict[str, datetime] = {}
    for one, hour, count, letter, died_at in _by_hour(parked.died_since(since)):
        counted.setdefault(one, {})[hour] = count
        newest[one] = max(newest.get(one, 0), letter)
        last[one] = max(last.get(one, since), died_at)
    most = sorted(counted, key=lambda one: (-sum(counted[one].values()), one))[: max(1, limit)]
    names = [f"{first_hour + _HOUR * n:%Y-%m-%d %H}" for n in range(hours)]
    examples = _examples(newest[one] for one in most)
    return [
        Group(
            fingerprint=one,
            task=example["task"],
            queue=example["queue"],
            error_class=example["error_class"] or example["reason"],
            message=mask_text(example["told"]),
            count=sum(counted[one].values()),
            first_died_at=example["first"],
            last_died_at=last[one],
            trend=tuple(counted[one].get(name, 0) for name in names),
            since=since,
        )
        for one in most
        # A letter that was purged since it was counted takes its group along.
        if (example := examples.get(one))
    ]


def _bound(letters: DeadLetterQuerySet) -> datetime | None:
    """From when on there are no more letters than are counted; None where all are counted."""
    ordered = letters.order_by("-died_at", "-id").values_list("died_at", flat=True)
    return next(iter(ordered[LOOKED_AT : LOOKED_AT + 1]), None)


def _by_hour(letters: DeadLetterQuerySet) -> Iterable[tuple[str, str, int, int, datetime]]:
    """Fingerprint, hour, how many, the last number and the last death of each group and hour."""
    # The first letters of a time as text name its hour, in UTC, on every database; SQLite would have to call
    # Python for each row to truncate it.
    hour = Substr(Cast("died_at", CharField()), 1, 13)
    rows = letters.order_by().values("fingerprint", hour=hour)
    counted = rows.annotate(letters=Count("id"), newest=Max("id"), last=Max("died_at"))
    return counted.values_list("fingerprint", "hour", "letters", "newest", "last")


def _examples(letters: Iterable[int]) -> Mapping[str, dict[str, Any]]:
    same = DeadLetter.objects.filter(fingerprint=OuterRef("fingerprint")).order_by("died_at", "id")
    rows = DeadLetter.objects.filter(pk__in=list(letters)).values(
        *("fingerprint", "task", "queue", "error_class", "reason"),
        told=Substr(F("error_message"), 1, _MESSAGE),
        first=Subquery(same.values("died_at")[:1]),
    )
    return {row["fingerprint"]: row for row in rows}
