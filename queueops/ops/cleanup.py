"""The verb cleanup: what is past its retention goes, in steps so short that nobody waits for them.

Results of tasks go after Celery's `result_expires`, dead letters that somebody has closed after
DEAD_LETTER_RETENTION_DAYS, entries of the audit log after AUDIT_RETENTION_DAYS. Parked letters stay: nobody
has decided about them. A chore of the workers does it all the time, so there is never much to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.apps import apps
from django.db import transaction
from django.db.models import Model, Q
from django.utils import timezone

from queueops.conf import config
from queueops.engine.rules.states import LetterStatus
from queueops.engine.store import Store
from queueops.errors import RetentionRefused
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import audit, permissions
from queueops.ops.connections import released
from queueops.ops.permissions import Actor

__all__ = ["LONGEST_DAYS", "SHORTEST_DAYS", "Cleaned", "Old", "chore", "cleanup", "delete_old", "old_results"]

SHORTEST_DAYS, LONGEST_DAYS = 1, 365
#: A step deletes so many rows that it takes about this long, within the bounds; no insert waits for it.
STEP_SECONDS = 0.2
FIRST_STEP, SMALLEST_STEP, LARGEST_STEP = 500, 50, 5_000
#: So many rows are counted before it is said that there are more.
COUNTED = 100_000
#: The chore's share of a worker's thread, which also collects dead letters.
CHORE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Old:
    """Rows of a table that are past their retention.

    Attributes:
        name: as the audit entry and the answer name them.
        model: the table.
        column: when a row began to age; it has an index that begins with `where`'s columns.
        before: what is older goes.
        where: which rows, by columns.
    """

    name: str
    model: type[Model]
    column: str
    before: datetime
    where: Q = field(default_factory=Q)


@dataclass(slots=True)
class Cleaned:
    """What cleanup has deleted, or would delete.

    Attributes:
        count: rows in all.
        by_table: rows by what they are: results, group results, dead letters, audit entries.
        more: whether it stopped because its time was over; the next call goes on. Where it was only counted:
            whether there are more.
    """

    count: int = 0
    by_table: dict[str, int] = field(default_factory=dict)
    more: bool = False


def cleanup(
    actor: Actor, days: int | None = None, *, seconds: float | None = None, dry_run: bool = False
) -> Cleaned:
    """Delete what is past its retention.

    Args:
        days: delete results and closed letters that are older than so many days (1 to 365), whatever their
            retention; the audit log keeps its own. None is the retention of each.
        seconds: stop after this time at the end of a step.
        dry_run: delete nothing; count what would go, of each table and state `COUNTED` rows at most.

    Raises:
        PermissionDenied: the actor may not clean up.
        RetentionRefused: the days are out of their range; nothing was deleted.
    """
    actor.require(permissions.CLEANUP)
    if days is not None and not SHORTEST_DAYS <= days <= LONGEST_DAYS:
        raise RetentionRefused(
            f"Nothing was deleted: days must be from {SHORTEST_DAYS} to {LONGEST_DAYS}, not {days}."
        )
    return _count(days) if dry_run else _clean(actor, days, seconds)


def chore(store: Store) -> None:
    """Do a little of the cleanup; leaves an entry in the audit log only when something was deleted."""
    with released():
        _clean(Actor.system("cleanup"), None, CHORE_SECONDS)


def old_results(before: datetime | None = None) -> list[Old]:
    """Return the results of tasks and groups that are older than Celery's `result_expires`, or than `before`.

    There are none where the project keeps no results in the database, or keeps them for ever.
    """
    if not apps.is_installed("django_celery_results"):
        return []
    expires = current_app.conf.result_expires
    if before is None and not expires:
        return []
    if before is None:
        before = timezone.now() - (
            expires if isinstance(expires, timedelta) else timedelta(seconds=float(expires))
        )
    return [
        Old(name, apps.get_model("django_celery_results", model), "date_done", before)
        for name, model in (("results", "TaskResult"), ("group results", "GroupResult"))
    ]


def delete_old(old: Old, deadline: float | None = None) -> Iterator[int]:
    """Delete the rows, oldest first, a step at a time; yields the number of each step.

    Each step is a transaction of its own, and as large as `STEP_SECONDS` allow on this database.

    Args:
        old: the rows.
        deadline: of the monotonic clock; past it no further step begins.
    """
    size, since = FIRST_STEP, None
    while deadline is None or time.monotonic() < deadline:
        started = time.monotonic()
        ids, since = _oldest(old, since, size)
        if not ids:
            return
        # Nothing but the ids: the rows may hold messages and results of any size.
        deleted = old.model._default_manager.filter(pk__in=ids).only("pk").delete()[1]
        yield deleted.get(old.model._meta.label, 0)
        took = time.monotonic() - started
        if took > STEP_SECONDS:
            size = max(SMALLEST_STEP, size // 2)
        elif took < STEP_SECONDS / 2:
            size = min(LARGEST_STEP, size * 2)


def _oldest(old: Old, since: datetime | None, size: int) -> tuple[list[Any], datetime | None]:
    # In the order of the index and with no upper bound: a database without statistics takes a range with two
    # ends for a few rows, and reads and sorts the whole table to find them.
    rows = old.model._default_manager.filter(old.where).order_by(old.column)
    if since is not None:
        # The index still leads through the rows that were deleted until the database has tidied up.
        rows = rows.filter(**{f"{old.column}__gte": since})
    found = [row for row in rows.values_list("pk", old.column)[:size] if row[1] < old.before]
    return [pk for pk, _ in found], found[-1][1] if found else since


def _count(days: int | None) -> Cleaned:
    counted = Cleaned()
    for old in _all_old(days):
        rows = old.model._default_manager.filter(old.where, **{f"{old.column}__lt": old.before})
        number = rows.order_by(old.column)[: COUNTED + 1].count()
        if not number:
            continue
        counted.more |= number > COUNTED
        number = min(number, COUNTED)
        counted.count += number
        counted.by_table[old.name] = counted.by_table.get(old.name, 0) + number
    return counted


def _clean(actor: Actor, days: int | None, seconds: float | None) -> Cleaned:
    deadline = time.monotonic() + seconds if seconds is not None else None
    cleaned, entry = Cleaned(), None
    told = {} if days is None else {"days": days}
    for old in _all_old(days):
        steps = delete_old(old, deadline)
        while True:
            # The rows and what the audit log says of them change together.
            with transaction.atomic():
                count = next(steps, None)
                if count is not None:
                    entry = entry or audit.record(actor, "cleanup", "rows past their retention", told)
                    audit.add(entry, count)
            if count is None:
                break
            cleaned.count += count
            cleaned.by_table[old.name] = cleaned.by_table.get(old.name, 0) + count
        if deadline is not None and time.monotonic() > deadline:
            cleaned.more = True
            return cleaned
    return cleaned


def _all_old(days: int | None) -> Iterator[Old]:
    now = timezone.now()
    asked = None if days is None else now - timedelta(days=days)
    yield from old_results(asked)
    closed = asked or now - timedelta(days=config().dead_letter_retention_days)
    for status in (LetterStatus.REPLAYED, LetterStatus.DISCARDED):
        yield Old("dead letters", DeadLetter, "died_at", closed, Q(status=status))
    if (kept_days := config().audit_retention_days) is not None:
        yield Old("audit entries", AuditEntry, "at", now - timedelta(days=kept_days))
