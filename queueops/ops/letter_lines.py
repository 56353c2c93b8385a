"""A dead letter as a line of JSON, and back: whole, or refused with the reason."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError

from queueops.engine.rules.states import LetterStatus, Reason
from queueops.models import DeadLetter
from queueops.ops import storable

__all__ = ["FORMAT", "RefusedText", "letter_of_line", "line_of"]

#: Stands in each line; what another version of queueops writes differently has another one.
FORMAT = "queueops letter 1"

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


def line_of(letter: DeadLetter) -> str:
    """The letter as a line of JSON with its end; nothing of it is masked."""
    document: dict[str, Any] = {"format": FORMAT}
    for name in (*_TEXTS, *_NUMBERS, *_DOCUMENTS):
        document[name] = getattr(letter, name)
    for name in _TIMES:
        moment: datetime | None = getattr(letter, name)
        document[name] = moment.isoformat() if moment else None
    # Numbers of rows differ from database to database; the token of a delivery does not.
    document["origin"] = letter.origin.lease_token if letter.origin else None
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


class RefusedText(Exception):
    """A line is not one that `line_of` writes; the text says why."""


def letter_of_line(line: str | bytes) -> tuple[DeadLetter, str | None]:
    """The unsaved letter of a line, and the token of its line's first letter.

    Raises:
        RefusedText: the line is not one that `line_of` writes.
    """
    try:
        return _letter(line)
    except (ValueError, ValidationError) as error:
        raise RefusedText(_why(error)) from error


def _letter(line: str | bytes) -> tuple[DeadLetter, str | None]:
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
