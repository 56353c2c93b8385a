"""Dead letters as JSON lines: out of one database, and into another one or back, as often as one likes."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.db import router, transaction

from queueops.engine.rules.states import LetterStatus, Reason
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import audit, permissions, storable
from queueops.ops.batches import pages
from queueops.ops.permissions import Actor
from queueops.querysets import DeadLetterQuerySet

__all__ = ["FORMAT", "Imported", "RefusedLine", "export", "import_lines"]

#: Stands in each line; what another version of queueops writes differently has another one.
FORMAT = "queueops letter 1"

#: Letters that are read or written at a time: each may have a message of 256 KiB.
_STEP = 50
_SHOWN_REFUSALS = 100
_TEXTS = (
    *("queue", "org", "resource", "task", "task_id", "message", "message_encoding", "reason"),
    *("error_class", "error_message", "traceback", "fingerprint", "worker", "status", "closed_by"),
    "lease_token",
)
_NUMBERS = ("attempt_count", "deliveries", "run_ms", "replay_number")
_MOST = {"run_ms": 2**53}
_TIMES = ("first_enqueued_at", "died_at", "closed_at")
_DOCUMENTS: Mapping[str, type[Any]] = {"args": list, "kwargs": dict, "attempts": list}
_FIELDS = frozenset({"format", "origin", *_TEXTS, *_NUMBERS, *_TIMES, *_DOCUMENTS})
_NEEDED = ("queue", "org", "message", "reason", "fingerprint", "died_at", "lease_token")


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
                write(json.dumps(_document(letter), ensure_ascii=False, separators=(",", ":")) + "\n")
                written += 1
        finally:
            # Also of an export that ends half-way it is known what has left the house.
            audit.add(entry, written)
        count += written
        if progress is not None:
            progress(count)
    return count


def _document(letter: DeadLetter) -> dict[str, Any]:
    document: dict[str, Any] = {"format": FORMAT}
    for name in (*_TEXTS, *_NUMBERS, *_DOCUMENTS):
        document[name] = getattr(letter, name)
    for name in _TIMES:
        moment: datetime | None = getattr(letter, name)
        document[name] = moment.isoformat() if moment else None
    # Numbers of rows differ from database to database; the token of a delivery does not.
    document["origin"] = letter.origin.lease_token if letter.origin else None
    return document


def import_lines(
    actor: Actor, lines: Iterable[str | bytes], *, progress: Callable[[int], None] | None = None
) -> Imported:
    """Write the letters of an export; those that are there already are left as they are.

    Lines that are no letters are refused, with their reason, and the others are written.

    Args:
        lines: of a file that `export` has written; empty ones are passed over.
        progress: called with the number of lines so far.

    Raises:
        PermissionDenied: the actor may not import letters.
        django.db.Error: the database did not take the rows; those of earlier steps are written, and the same
            import goes on from there.
    """
    actor.require(permissions.EXPORT)
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
                letter, origin = _letter(line)
            except (ValueError, ValidationError) as error:
                refused += 1
                if len(refusals) < _SHOWN_REFUSALS:
                    refusals.append(RefusedLine(number, _why(error)))
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


def _letter(line: str | bytes) -> tuple[DeadLetter, str | None]:
    """The unsaved letter of a line, and the token of its line's first letter.

    Raises:
        ValueError, ValidationError: the line is not one that `export` writes.
    """
    text = line.decode("utf-8") if isinstance(line, bytes) else line
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("It is not a JSON object.")
    if document.get("format") != FORMAT:
        raise ValueError(f"Its format is {document.get('format')!r}, not {FORMAT!r}.")
    if missing := [name for name in _NEEDED if document.get(name) is None]:
        raise ValueError(f"It has no {', '.join(missing)}.")
    if unknown := sorted(set(document) - _FIELDS):
        raise ValueError(f"Nobody knows its {', '.join(unknown)[:200]}.")
    origin = document.get("origin")
    letter = DeadLetter(**dict(_values(document)))
    _check(letter)
    return letter, origin if isinstance(origin, str) else None


def _values(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if name in _TEXTS:
            if not isinstance(value, str) or storable.text(value) != value:
                raise ValueError(f"{name} is not a text that a database takes.")
            yield name, value
        elif name in _NUMBERS:
            # As the collector bounds them: what SQLite takes is more than what PostgreSQL does.
            if type(value) is not int or storable.whole(value, most=_MOST.get(name, 2**31 - 1)) != value:
                raise ValueError(f"{name} is not a number that a database takes.")
            yield name, value
        elif name in _TIMES:
            yield name, _moment(name, value)
        elif name in _DOCUMENTS:
            if not isinstance(value, _DOCUMENTS[name]):
                raise ValueError(f"{name} is not a {_DOCUMENTS[name].__name__}.")
            yield name, storable.document(value)


def _moment(name: str, value: Any) -> datetime | None:
    if value is None and name != "died_at":
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is not a time: {value!r:.100}.") from None
    if moment.tzinfo is None:
        raise ValueError(f"{name} has no time zone.")
    return moment


def _check(letter: DeadLetter) -> None:
    if not letter.lease_token:
        raise ValueError("Its lease_token is empty.")
    # Lengths and numbers, as the columns have them. What nobody could read may have no name, nor a message.
    letter.clean_fields(exclude=["origin", "id", *(name for name in _TEXTS if not getattr(letter, name))])
    if letter.status not in set(LetterStatus) or letter.reason not in set(Reason):
        raise ValueError("Its status or its reason is not known.")
    if letter.message_encoding not in ("", "base64"):
        raise ValueError(f"Its message_encoding is {letter.message_encoding!r}.")
    if letter.message_encoding:
        try:
            base64.b64decode(letter.message, validate=True).decode("utf-8", "surrogatepass")
        except (binascii.Error, UnicodeDecodeError):
            raise ValueError("Its message is not base64.") from None


def _why(error: ValueError | ValidationError) -> str:
    if isinstance(error, ValidationError):
        told = [f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items()]
        return "; ".join(told)[:500]
    if isinstance(error, json.JSONDecodeError):
        return f"It is not JSON: {error.msg} at character {error.pos}."
    return "It is not UTF-8." if isinstance(error, UnicodeDecodeError) else str(error)[:500]
