"""Dead letters as JSON lines: out of one database, and into another one or back, as often as one likes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any

from django.db import router, transaction

from queueops.models import AuditEntry, DeadLetter
from queueops.models.querysets import DeadLetterQuerySet
from queueops.ops import audit, permissions
from queueops.ops.batches import pages
from queueops.ops.letter_lines import RefusedText, letter_of_line, line_of
from queueops.ops.permissions import Actor

__all__ = ["FILE_NAME", "MEDIA_TYPE", "Imported", "RefusedLine", "export", "exported", "import_lines"]

#: What a file of letters is called, and what it is, where somebody downloads it.
FILE_NAME, MEDIA_TYPE = "letters.jsonl", "application/x-ndjson"

#: Letters that are read or written at a time: each may have a message of 256 KiB.
_STEP = 50
_SHOWN_REFUSALS = 100


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that is no letter: its number, from 1, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did.

    Attributes:
        count: letters that were written.
        known: letters that were there already, by the lease token of the delivery that died.
        refused: lines that could not be read; `refusals` has the first 100 of them.
    """

    count: int
    known: int
    refused: int
    refusals: tuple[RefusedLine, ...]


def export(
    actor: Actor,
    matching: DeadLetterQuerySet,
    described: Mapping[str, Any],
    write: Callable[[str], object],
    *,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write the letters that match, the oldest first, each as a line of JSON with its whole message.

    Nothing is masked: what is written can be imported and replayed. Arguments that are stored beside the
    broker (`offload=True`) are not in the message, nor in the line.

    Args:
        matching, described: as `letter_list.matching` answers them.
        write: takes a line with its end, as `file.write` does.
        progress: called with the number of letters so far.

    Returns:
        How many letters were written.

    Raises:
        PermissionDenied: the actor may not export letters, or not see payloads.
    """
    actor.require(permissions.EXPORT)
    actor.require(permissions.VIEW_PAYLOAD)
    entry = audit.record(actor, "export", "letters that match", {"filter": dict(described)})
    count = 0
    for ids, _ in pages(matching, size=_STEP):
        letters = DeadLetter.objects.filter(pk__in=ids).select_related("origin").order_by("died_at", "id")
        written = 0
        try:
            for letter in letters:
                write(line_of(letter))
                written += 1
        finally:
            # Also of an export that ends half-way it is known what has left the house.
            audit.add(entry, written)
        count += written
        if progress is not None:
            progress(count)
    return count


def exported(actor: Actor, matching: DeadLetterQuerySet, described: Mapping[str, Any]) -> IO[bytes]:
    """What `export` writes, in a file without a name that is gone when it is closed. Errors as `export`.

    Whoever downloads it slowly holds no transaction, and an error is known before the first byte is sent.
    """
    file = tempfile.TemporaryFile("w+b")  # noqa: SIM115  who asked closes it
    try:
        export(actor, matching, described, lambda line: file.write(line.encode()))
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def import_lines(
    actor: Actor, lines: Iterable[str | bytes], *, progress: Callable[[int], None] | None = None
) -> Imported:
    """Write the letters of an export; those that are there already are left as they are.

    Lines that are no letters are refused, with their reason, and the others are written.

    Args:
        lines: of a file that `export` has written; empty ones are passed over.
        progress: called with the number of lines so far.

    Raises:
        PermissionDenied: the actor may not import letters, or not enqueue jobs.
        django.db.Error: the database did not take the rows; those of earlier steps are written, and the same
            import goes on from there.
    """
    actor.require(permissions.EXPORT)
    # A letter made by hand, replayed, is a job like any other.
    actor.require(permissions.ENQUEUE_JOB)
    entry = audit.record(actor, "import", "letters of a file")
    refusals: list[RefusedLine] = []
    count = known = refused = read = 0
    numbered = enumerate(lines, start=1)
    while step := list(islice(numbered, _STEP)):
        letters: dict[str, tuple[DeadLetter, str | None]] = {}
        for number, line in step:
            read = number
            if not line.strip():
                continue
            try:
                letter, origin = letter_of_line(line)
            except RefusedText as refusal:
                refused += 1
                if len(refusals) < _SHOWN_REFUSALS:
                    refusals.append(RefusedLine(number, str(refusal)))
                continue
            known += letter.lease_token in letters
            letters.setdefault(letter.lease_token, (letter, origin))
        new = _save(entry, letters)
        count += new
        known += len(letters) - new
        if progress is not None:
            progress(read)
    return Imported(count, known, refused, tuple(refusals))


def _save(entry: AuditEntry, letters: Mapping[str, tuple[DeadLetter, str | None]]) -> int:
    """Write those that are not there, and count them in the audit log, in one transaction."""
    with transaction.atomic(using=router.db_for_write(DeadLetter)):
        # This first write takes SQLite's lock: nobody writes one of them between the look and the insert.
        audit.add(entry, 0)
        tokens = {*letters, *(origin for _, origin in letters.values() if origin)}
        there = dict(DeadLetter.objects.filter(lease_token__in=tokens).values_list("lease_token", "pk"))
        new = [letter for token, (letter, _) in letters.items() if token not in there]
        # A line's first letter stands before its descendants in the file: it died first.
        for letter in new:
            letter.origin_id = there.get(letters[letter.lease_token][1] or "")
        DeadLetter.objects.bulk_create(new, ignore_conflicts=True)
        _link(new, letters)
        audit.add(entry, len(new))
    return len(new)


def _link(new: Iterable[DeadLetter], letters: Mapping[str, tuple[DeadLetter, str | None]]) -> None:
    """Link letters whose line began in the same step, and whose first letter has its number only now."""
    for letter in new:
        origin = letters[letter.lease_token][1]
        if origin in letters and letter.origin_id is None:
            first = DeadLetter.objects.filter(lease_token=origin).values("pk")[:1]
            DeadLetter.objects.filter(lease_token=letter.lease_token).update(origin=first)
