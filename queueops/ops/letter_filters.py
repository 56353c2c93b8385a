"""The one place where the filters of people become a question to the database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.db.models import Q

from queueops.engine.rules.states import LetterStatus
from queueops.models import DeadLetter
from queueops.ops import permissions
from queueops.ops.letter_search import search
from queueops.ops.permissions import Actor
from queueops.querysets import BOUND, DeadLetterQuerySet, bounded_count

__all__ = ["Counted", "counted", "matching", "of_error"]


@dataclass(frozen=True, slots=True)
class Counted:
    """How many letters match: exactly, or `is_more` than that."""

    count: int
    is_more: bool


def matching(
    *,
    letters: Iterable[int] | None = None,
    queue: str = "",
    org: str = "",
    task: str = "",
    error: str = "",
    reason: str = "",
    status: str = LetterStatus.PARKED.value,
    text: str = "",
    error_class: str = "",
    fingerprint: str = "",
    task_id: str = "",
    died_since: datetime | None = None,
    died_before: datetime | None = None,
) -> tuple[DeadLetterQuerySet, dict[str, Any]]:
    """The letters that filters name, and the filters for the audit log. "" and None are any.

    Args:
        letters: only these numbers.
        error: stands somewhere in the error's class, in its message or in the reason, in any case.
        status: parked, replayed or discarded; "all" or "" is any.
        text: words of a search: names and ids as a whole, others in the texts of the newest 10,000 letters.
        queue, org, task, reason, error_class, fingerprint, task_id: as they are written.
        died_since, died_before: when they died.
    """
    columns = {
        "queue": queue,
        "org": org,
        "task": task,
        "reason": reason,
        "error_class": error_class,
        "fingerprint": fingerprint,
        "task_id": task_id,
    }
    exact = {name: value for name, value in columns.items() if value}
    said = {**exact, "status": status, "error": error, "text": text}
    described: dict[str, Any] = {name: value for name, value in said.items() if value}
    found = DeadLetter.objects.filter(**exact)
    if any("\x00" in value for value in described.values()):
        return found.none(), described  # no column holds it, and PostgreSQL does not even take the question
    if letters is not None:
        numbers = list(letters)
        found = found.filter(pk__in=[number for number in numbers if 0 < number < 2**63])
        described["letters"] = numbers[:100]
    if died_since is not None:
        found, described["died_since"] = found.died_since(died_since), died_since.isoformat()
    if died_before is not None:
        found, described["died_before"] = found.died_before(died_before), died_before.isoformat()
    if status not in ("", "all"):
        found = found.of_status(status, narrowed=bool(exact or letters is not None))
    if text:
        found = cast(DeadLetterQuerySet, search(found, text))
    return (found.filter(of_error(error)) if error else found), described


def of_error(error: str) -> Q:
    """What an error that says this has; nothing of it has an index.

    Args:
        error: as for `matching`.
    """
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
