"""Writes the broker's dead stream into rows: first the row, then the end of the stream's copy."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from django.db import DataError, router, transaction
from django.utils import timezone

from queueops.engine.rules.states import Reason
from queueops.engine.store import Store
from queueops.engine.types import DeadEntry
from queueops.errors import InvalidMessage
from queueops.models import DeadLetter
from queueops.ops import messages, storable
from queueops.ops.connections import released
from queueops.ops.fingerprint import fingerprint

__all__ = ["collect", "collect_all", "letter_of"]

logger = logging.getLogger("queueops.dead_letters")

#: The tag that a replay gives its job: which letter, and which replay of its line.
REPLAY_TAG = re.compile(r"\Areplay-(\d{1,18})-(\d{1,9})-[0-9a-f]+\Z")

#: What a database, or its driver, raises for a value that it does not take.
_REFUSED = (DataError, OverflowError, TypeError, ValueError)

_BATCHES = 25


def collect_all(store: Store) -> int:
    """Collect until the stream is empty, or for a bounded number of batches; the next turn goes on."""
    total = 0
    for _ in range(_BATCHES):
        count = collect(store)
        total += count
        if not count:
            break
    return total


def collect(store: Store, limit: int = 200) -> int:
    """Write up to `limit` dead jobs into rows and then take them out of the stream; return how many.

    A row that exists already (its delivery's lease token is unique) is left as it is, so a collector that
    died between the two steps is repeated without harm.

    Raises:
        django.db.Error: the database did not take the rows; the stream keeps them.
    """
    entries = store.dead_read(count=limit)
    if not entries:
        return 0
    with released():
        _save(router.db_for_write(DeadLetter), entries)
    store.dead_trim([entry.id for entry in entries])
    return len(entries)


def _save(alias: str, entries: Sequence[DeadEntry]) -> None:
    letters = [letter_of(entry) for entry in entries]
    _link(alias, letters)
    try:
        with transaction.atomic(using=alias):
            DeadLetter.objects.using(alias).bulk_create(letters, ignore_conflicts=True, batch_size=50)
    except _REFUSED:
        # One row that the database refuses must not hold back the others, now or ever.
        for letter, entry in zip(letters, entries, strict=True):
            _save_alone(alias, letter, entry)


def _save_alone(alias: str, letter: DeadLetter, entry: DeadEntry) -> None:
    try:
        with transaction.atomic(using=alias):
            DeadLetter.objects.using(alias).bulk_create([letter], ignore_conflicts=True)
    except _REFUSED as refused:
        bare = _bare(entry, f"The database refused this letter's details: {refused}")
        DeadLetter.objects.using(alias).bulk_create([bare], ignore_conflicts=True)


def letter_of(entry: DeadEntry) -> DeadLetter:
    """The unsaved row of a dead job, whatever state its message is in."""
    try:
        return _full(entry)
    # A header can hold anything; a letter that breaks here would stop the collector for good.
    except Exception as error:
        return _bare(entry, f"This letter's details cannot be read: {type(error).__name__}: {error}")


def _bare(entry: DeadEntry, why: str) -> DeadLetter:
    logger.warning("Dead letter %s is kept without its details: %s", entry.token, why)
    letter = _identified(entry, entry.detail if isinstance(entry.detail, dict) else {})
    letter.error_message = storable.text(why)
    letter.fingerprint = fingerprint(entry.task, letter.reason, why, "")
    return letter


def _identified(entry: DeadEntry, detail: dict[str, Any]) -> DeadLetter:
    """The row with what names the job and with its message: enough to be found, and replayed as it is."""
    message, encoding = storable.encoded(entry.message)
    return DeadLetter(
        queue=storable.line(entry.queue),
        org=storable.line(entry.org, 128),
        resource=storable.line(entry.resource, 128),
        task=storable.line(entry.task),
        task_id=storable.line(entry.task_id),
        message=message,
        message_encoding=encoding,
        reason=_reason(detail),
        first_enqueued_at=storable.at(entry.first_ms),
        died_at=storable.at(entry.died_ms) or timezone.now(),
        lease_token=storable.line(entry.token),
    )


def _full(entry: DeadEntry) -> DeadLetter:
    detail = entry.detail or {}
    try:
        message: messages.Message | None = messages.read(entry.message)
    except InvalidMessage:
        message = None
    error, told = str(detail.get("error") or ""), str(detail.get("message") or "")
    traceback = str(detail.get("traceback") or "")
    attempts = _attempts(entry, message)
    letter = _identified(entry, detail)
    letter.args = storable.document(message.args) if message else []
    letter.kwargs = storable.document(message.kwargs) if message else {}
    letter.error_class = storable.line(error)
    letter.error_message = storable.text(told)
    letter.traceback = storable.text(traceback)
    letter.fingerprint = fingerprint(entry.task, error or letter.reason, told, traceback)
    letter.attempts = storable.document(attempts)
    letter.attempt_count = storable.whole(attempts[-1].get("n"), 1)
    letter.deliveries = storable.whole(entry.deliveries, 1)
    letter.worker = storable.line(detail.get("worker"))
    letter.run_ms = storable.whole(detail.get("run_ms"), most=2**53)
    letter.origin_id, letter.replay_number = _replayed_from(entry, message)
    return letter


def _reason(detail: dict[str, Any]) -> str:
    reason = detail.get("reason")
    return reason if reason in set(Reason) else Reason.FAILED.value


def _attempts(entry: DeadEntry, message: messages.Message | None) -> list[dict[str, Any]]:
    """The attempts as the broker tells them, with the last one at the end."""
    detail = entry.detail or {}
    told = detail.get("attempts") or (message.own.get("attempts") if message else None) or []
    attempts = [dict(one) for one in told if isinstance(one, dict)]
    last = (entry.attempt or 0) + 1
    if not attempts or int(attempts[-1].get("n") or 0) < last:
        attempts.append(
            {
                "n": last,
                "at": entry.died_ms,
                "error": detail.get("error") or detail.get("reason") or "",
                "message": detail.get("message") or "",
                "worker": detail.get("worker") or "",
                "run_ms": detail.get("run_ms") or 0,
            }
        )
    return attempts


def _replayed_from(entry: DeadEntry, message: messages.Message | None) -> tuple[int | None, int]:
    """The letter whose replay died here, for `_link` to put its line's first in place, and which replay."""
    replay = message.own.get("replay") if message else None
    if isinstance(replay, dict) and isinstance(replay.get("letter"), int) and 0 < replay["letter"] < 2**63:
        return replay["letter"], storable.whole(replay.get("n"), 1)
    # A message that was replayed unchanged, byte by byte, carries its lineage in its tag alone.
    found = REPLAY_TAG.match(entry.tag)
    return (int(found[1]), int(found[2])) if found else (None, 0)


def _link(alias: str, letters: Sequence[DeadLetter]) -> None:
    """Point each letter at the first letter of its line; one that was purged since leaves only the number."""
    wanted = {letter.origin_id for letter in letters if letter.origin_id}
    if not wanted:
        return
    rows = DeadLetter.objects.using(alias).filter(pk__in=wanted).values_list("pk", "origin_id")
    first = {pk: origin or pk for pk, origin in rows}
    for letter in letters:
        letter.origin_id = first.get(letter.origin_id) if letter.origin_id else None
