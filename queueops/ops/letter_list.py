"""Dead letters to look at: pages of those that match, and one letter with all there is to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, Unpack

from django.db.models import Q

from queueops.engine.rules.states import LetterStatus
from queueops.errors import UnknownLetter
from queueops.models import DeadLetter
from queueops.models.querysets import DeadLetterQuerySet, bounded_count
from queueops.ops import permissions
from queueops.ops.batches import Cursor
from queueops.ops.letter_filters import Counted, Filters, Found, counted, found, matching
from queueops.ops.letter_payload import Payload, payload_of
from queueops.ops.masking import mask, mask_text
from queueops.ops.permissions import Actor

__all__ = ["Counted", "LetterDetail", "LetterPage", "LetterRow", "counted", "listed", "matching", "shown"]

#: Rows of a page at most.
MOST = 1_000
#: Letters whose texts one statement looks at, and how long a page looks on before it says where to go on.
WINDOW, LIST_SECONDS = 5_000, 0.2

_HEAVY = ("message", "traceback", "attempts")
_SHOWN_MESSAGE = 500
_LINE = 50
_ALIKE = 999


@dataclass(frozen=True, slots=True)
class LetterRow:
    """A dead letter in a list.

    Attributes:
        error_message: with secrets masked; in a list only its beginning.
        attempts: how often it was tried. run_ms: how long the last attempt took.
        replay_number: which replay of the job died here, 0 is none; origin: the first letter of that line.
        args, kwargs: with secrets masked; None for who may not see payloads.
    """

    id: int
    task_id: str
    task: str
    queue: str
    org: str
    resource: str
    reason: str
    error_class: str
    error_message: str
    fingerprint: str
    attempts: int
    deliveries: int
    worker: str
    run_ms: int
    first_enqueued_at: datetime | None
    died_at: datetime
    status: str
    closed_at: datetime | None
    closed_by: str
    replay_number: int
    origin: int | None
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class LetterPage:
    """A page of letters, newest first. `next_cursor`: `before` of the next page; None when that was all.

    A page may have fewer rows than asked for, or none, though there are more: then few letters match, and
    looking on would take too long.
    """

    letters: tuple[LetterRow, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class LetterDetail:
    """One letter.

    Attributes:
        traceback: of the last attempt, with secrets masked.
        errors: the attempts, oldest first: n, at (ms), error, message, worker.
        line: the other letters of this job, oldest first.
        alike: letters of the same error, this one among them, counted up to 1,000.
        payload: what the job carried; None for who may not see payloads.
    """

    letter: LetterRow
    traceback: str
    errors: tuple[Mapping[str, Any], ...]
    line: tuple[LetterRow, ...]
    alike: int
    payload: Payload | None


def listed(
    actor: Actor,
    *,
    before: str | None = None,
    limit: int = 100,
    payload: bool = True,
    **filters: Unpack[Filters],
) -> LetterPage:
    """A page of the letters that match, newest first.

    Args:
        before: `next_cursor` of the page before.
        limit: rows, 1 to 1,000.
        payload: args and kwargs too, for who may see them.
        filters: as for `matching`.

    Raises:
        PermissionDenied: the actor may not see letters.
        InvalidCursor: `before` is not from a page before.
    """
    actor.require(permissions.VIEW_LETTERS)
    asked, cursor = found(**filters), Cursor.parse(before or "")
    with_payload = payload and actor.may(permissions.VIEW_PAYLOAD)
    left_out = _HEAVY if with_payload else (*_HEAVY, "args", "kwargs")
    rows, after = _page(asked, cursor, min(max(1, limit), MOST), left_out)
    return LetterPage(tuple(_row(one, with_payload) for one in rows), str(after) if after else None)


def _page(
    asked: Found, cursor: Cursor | None, limit: int, left_out: tuple[str, ...]
) -> tuple[list[DeadLetter], Cursor | None]:
    ordered = asked.narrowed.order_by("-died_at", "-id")
    if not asked.rest:
        rows = list(_older(ordered, cursor).defer(*left_out)[: limit + 1])
        return rows[:limit], _at(rows[limit - 1]) if len(rows) > limit else None
    # No index has all of the filters: each statement looks at so many letters and no more, and finds out in
    # small steps first whether most of them match.
    rows, size, ends = [], min(4 * limit, WINDOW), monotonic() + LIST_SECONDS
    while True:
        window = [Cursor(*row) for row in _older(ordered, cursor).values_list("died_at", "id")[:size]]
        part = DeadLetter.objects.filter(asked.rest, pk__in=[one.id for one in window])
        rows += part.order_by("-died_at", "-id").defer(*left_out)[: limit - len(rows) + 1]
        if len(rows) > limit:
            return rows[:limit], _at(rows[limit - 1])
        cursor = window[-1] if len(window) == size else None
        if cursor is None or monotonic() > ends:
            return rows, cursor
        size = WINDOW


def _older(ordered: DeadLetterQuerySet, cursor: Cursor | None) -> DeadLetterQuerySet:
    if cursor is None:
        return ordered
    # The first comparison bounds the index, the second one passes over the rows of the same moment.
    older = Q(died_at__lt=cursor.died_at) | Q(id__lt=cursor.id)
    return ordered.filter(died_at__lte=cursor.died_at).filter(older)


def _at(letter: DeadLetter) -> Cursor:
    return Cursor(letter.died_at, letter.pk)


def shown(actor: Actor, letter: int) -> LetterDetail:
    """One letter with its line.

    Raises:
        PermissionDenied: the actor may not see letters. Without `view_payload` it is told without arguments.
        UnknownLetter: there is none of this number.
    """
    actor.require(permissions.VIEW_LETTERS)
    one = DeadLetter.objects.filter(pk=letter).first() if 0 < letter < 2**63 else None
    if one is None:
        raise UnknownLetter(letter)
    with_payload = actor.may(permissions.VIEW_PAYLOAD)
    has_line = bool(one.replay_number) or one.status == LetterStatus.REPLAYED
    line = DeadLetter.objects.line_of(one).exclude(pk=one.pk) if has_line else DeadLetter.objects.none()
    return LetterDetail(
        letter=_row(one, with_payload, whole=True),
        traceback=mask_text(one.traceback),
        errors=tuple(
            {**attempt, "message": mask_text(str(attempt.get("message") or ""))}
            for attempt in one.attempts
            if isinstance(attempt, Mapping)
        ),
        line=tuple(_row(other, False) for other in line.defer(*_HEAVY, "args", "kwargs")[:_LINE]),
        alike=bounded_count(DeadLetter.objects.filter(fingerprint=one.fingerprint), _ALIKE),
        payload=payload_of(one) if with_payload else None,
    )


def _row(letter: DeadLetter, payload: bool, *, whole: bool = False) -> LetterRow:
    told = mask_text(letter.error_message if whole else letter.error_message[:_SHOWN_MESSAGE])
    return LetterRow(
        id=letter.pk,
        task_id=letter.task_id,
        task=letter.task,
        queue=letter.queue,
        org=letter.org,
        resource=letter.resource,
        reason=letter.reason,
        error_class=letter.error_class,
        error_message=told,
        fingerprint=letter.fingerprint,
        attempts=letter.attempt_count,
        deliveries=letter.deliveries,
        worker=letter.worker,
        run_ms=letter.run_ms,
        first_enqueued_at=letter.first_enqueued_at,
        died_at=letter.died_at,
        status=letter.status,
        closed_at=letter.closed_at,
        closed_by=letter.closed_by,
        replay_number=letter.replay_number,
        origin=letter.origin_id,
        args=mask(letter.args) if payload else None,
        kwargs=mask(letter.kwargs) if payload else None,
    )
