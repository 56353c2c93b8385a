"""Editing the arguments of a dead letter: what is shown, what was changed, what will be published."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from queueops.errors import InvalidMessage, ReplayRefused
from queueops.models import DeadLetter
from queueops.ops import messages
from queueops.ops.masking import mask, unmask
from queueops.ops.replay import Arguments

__all__ = ["Edit", "Line", "prepare", "pretty", "shown", "unmasked"]

_CONTEXT_LINES = 4


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the difference. `kind` is "same", "removed", "added" or "skipped" (lines left out)."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Arguments as an operator wants them, and how they differ from the letter's, with secrets masked."""

    arguments: Arguments
    lines: tuple[Line, ...]

    @property
    def changes_something(self) -> bool:
        """Whether any line differs."""
        return any(line.kind in ("removed", "added") for line in self.lines)


def pretty(value: Any) -> str:
    """JSON as people read it; the order of keys is the message's own."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def shown(letter: DeadLetter) -> tuple[str, str]:
    """The letter's args and kwargs as text to be edited, with secrets masked.

    Raises:
        ReplayRefused: the message cannot be read, so there is nothing to edit.
    """
    args, kwargs = _of(letter)
    return pretty(mask(args)), pretty(mask(kwargs))


def prepare(letter: DeadLetter, args: str, kwargs: str) -> Edit:
    """Read what the operator wrote; a mask that was left in its place means the value it hides.

    Raises:
        ReplayRefused: it is not JSON of the right kind, or a mask hides nothing known; it says where.
    """
    old_args, old_kwargs = _of(letter)
    new_args, new_kwargs = unmasked(letter, (_parsed("args", args, list), _parsed("kwargs", kwargs, dict)))
    lines = (*_compared("args", old_args, new_args), *_compared("kwargs", old_kwargs, new_kwargs))
    return Edit((new_args, new_kwargs), lines)


def unmasked(letter: DeadLetter, arguments: Arguments) -> Arguments:
    """Return the arguments with what the letter has in place of each mask.

    Raises:
        ReplayRefused: the letter's message cannot be read, or a mask hides nothing known; it says where.
    """
    args, kwargs = _of(letter)
    return _unmasked("args", arguments[0], args), _unmasked("kwargs", arguments[1], kwargs)


def _of(letter: DeadLetter) -> Arguments:
    try:
        message = messages.read(letter.raw_message)
    except InvalidMessage as error:
        raise ReplayRefused(f"{error} It can only be replayed as it is.") from error
    return message.args, message.kwargs


def _parsed(name: str, text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ReplayRefused(f"{name} is not JSON: {error}") from error
    if not isinstance(value, kind):
        raise ReplayRefused(f"{name} must be a JSON {'list' if kind is list else 'object'}.")
    return value


def _unmasked(name: str, value: Any, original: Any) -> Any:
    try:
        return unmask(value, original)
    except ValueError as error:
        raise ReplayRefused(f"{name}: {error}") from error


def _compared(name: str, old: Any, new: Any) -> Iterator[Line]:
    before, after = pretty(mask(old)).splitlines(), pretty(mask(new)).splitlines()
    if old == new:
        return
    yield Line("same", f"{name}:")
    if before == after:
        # Only what is masked differs, and the difference must not show it.
        yield Line("removed", "  (a masked value as it was)")
        yield Line("added", "  (a masked value as you wrote it)")
        return
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for group in matcher.get_grouped_opcodes(_CONTEXT_LINES):
        if group[0][1] > 0:
            yield Line("skipped", "…")
        for word, start, end, new_start, new_end in group:
            if word == "equal":
                yield from (Line("same", line) for line in before[start:end])
            else:
                yield from (Line("removed", line) for line in before[start:end])
                yield from (Line("added", line) for line in after[new_start:new_end])
