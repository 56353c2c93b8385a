"""The one place where the filters of people become a question to the database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack, cast

from django.db.models import Q

from queueops.engine.rules.states import LetterStatus
from queueops.models import DeadLetter
from queueops.models.querysets import BOUND, DeadLetterQuerySet, bounded_count
from queueops.ops import permissions
from queueops.ops.letter_search import search
from queueops.ops.permissions import Actor

__all__ = ["Counted", "Filters", "Found", "counted", "found", "matching"]


@dataclass(frozen=True, slots=True)
class Counted:
    """How many letters match: exactly, or `is_more` than that."""

    count: int
    is_more: bool


class Filters(TypedDict, total=False):
    """What people say of the letters they mean. "" and None are any.

    Attributes:
        letters: only these numbers.
        error: stands somewhere in the error's class, in its message or in the reason, in any case.
        status: parked, replayed or discarded; "all" or "" is any; parked where it is not said.
        text: words of a search: names and ids as a whole, others in the texts of the newest 10,000 letters.
        queue, org, task, reason, error_class, fingerprint, task_id: as they are written.
        died_since, died_before: when they died.
    """

    letters: Iterable[int] | None
    queue: str
    org: str
    task: str
    error: str
    reason: str
    status: str
    text: str
    error_class: str
    fingerprint: str
    task_id: str
    died_since: datetime | None
    died_before: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """Filters as a question.

    Attributes:
        narrowed: the letters as far as one index finds them, in its order.
        rest: what has to be looked at in each of them; empty where nothing is left.
        described: the filters for the audit log.
    """

    narrowed: DeadLetterQuerySet
    rest: Q
    described: dict[str, Any]


#: Columns with an index, those with the fewest letters of one value first.
_EXACT = ("task_id", "fingerprint", "org", "error_class", "task", "reason", "queue")


def matching(**filters: Unpack[Filters]) -> tuple[DeadLetterQuerySet, dict[str, Any]]:
    """The letters that filters name, and the filters for the audit log."""
    asked = found(**filters)
    return asked.narrowed.filter(asked.rest), asked.described


def found(**filters: Unpack[Filters]) -> Found:
    """The filters in two parts, for who reads pages of letters."""
    said = {"status": LetterStatus.PARKED.value, **filters}
    texts = {name: said[name] for name in (*_EXACT, "status", "error", "text") if said.get(name)}
    described: dict[str, Any] = dict(texts)
    letters = DeadLetter.objects.all()
    if any("\x00" in str(value) for value in texts.values()):
        # No column holds it, and PostgreSQL does not even take the question.
        return Found(letters.none(), Q(), described)
    exact = [(name, texts[name]) for name in _EXACT if name in texts]
    rest = Q(**dict(exact[1:]))
    letters = letters.filter(**dict(exact[:1]))
    numbers = filters.get("letters")
    if numbers is not None:
        chosen = list(numbers)
        letters = letters.filter(pk__in=[number for number in chosen if 0 < number < 2**63])
        described["letters"] = chosen[:100]
    since, before = filters.get("died_since"), filters.get("died_before")
    if since is not None:
        letters, described["died_since"] = letters.died_since(since), since.isoformat()
    if before is not None:
        letters, described["died_before"] = letters.died_before(before), before.isoformat()
    if (status := str(texts.get("status", "all"))) != "all":
        letters = letters.of_status(status, narrowed=bool(exact or numbers is not None))
    if text := filters.get("text"):
        letters = cast(DeadLetterQuerySet, search(letters, text))
    if error := filters.get("error"):
        rest &= _of_error(error)
    return Found(letters, rest, described)


def _of_error(error: str) -> Q:
    # The reasons are words with underscores; people write blanks.
    reason = Q(reason__icontains="_".join(error.split()))
    return Q(error_class__icontains=error) | Q(error_message__icontains=error) | reason


def counted(actor: Actor, letters: DeadLetterQuerySet, bound: int = BOUND) -> Counted:
    """How many letters match, counted up to `bound`.

    Raises:
        PermissionDenied: the actor may not see letters.
    """
    actor.require(permissions.VIEW_LETTERS)
    found = bounded_count(letters, bound)
    return Counted(min(found, bound), found > bound)
