"""Turns payloads, tracebacks and histories into what a person can read at a glance."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.timesince import timesince

from queueops.models import DeadLetter
from queueops.ops import storable
from queueops.ops.editing import pretty
from queueops.ops.masking import MASK, mask, mask_text

__all__ = [
    "Event",
    "ago",
    "history",
    "json_text",
    "moment",
    "pill",
    "short",
    "task_name",
    "traceback",
    "with_pauses",
]

_TOKEN = re.compile(
    r'(?P<key>"(?:\\.|[^"\\])*")(?=\s*:)|(?P<text>"(?:\\.|[^"\\])*")|'
    r"(?P<word>\b(?:true|false|null)\b)|(?P<number>-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)"
)
_FRAME = re.compile(r'^(\s*File ")(.+)(", line )(\d+)(, in )(.*)$')

_UNITS = ((86_400, "days"), (3_600, "h"), (60, "min"), (1, "s"))

#: A payload can have 256 KiB; a page with all of it in colour would take seconds to draw.
_SHOWN_CHARACTERS = 60_000


def json_text(value: Any) -> SafeString:
    """A JSON value indented and in colours, with secrets masked."""
    text = pretty(mask(value))
    cut = text[:_SHOWN_CHARACTERS]
    parts: list[str] = []
    end = 0
    for found in _TOKEN.finditer(cut):
        kind = "mask" if MASK in found.group() else found.lastgroup
        parts += (escape(cut[end : found.start()]), f'<span class="qo-{kind}">{escape(found.group())}</span>')
        end = found.end()
    parts.append(escape(cut[end:]))
    if len(text) > len(cut):
        parts.append(f"\n… {len(text) - len(cut):,} more characters")
    return mark_safe("".join(parts))


def traceback(text: str) -> SafeString:
    """A traceback whose places and last line stand out, with secrets masked."""
    lines = mask_text(text).rstrip("\n").split("\n")
    parts: list[str] = []
    for line in lines:
        frame = _FRAME.match(line)
        if frame:
            before, file, middle, number, word, function = (escape(part) for part in frame.groups())
            parts.append(
                f'<span class="qo-dim">{before}</span><span class="qo-file">{file}</span>'
                f'<span class="qo-dim">{middle}</span>{number}<span class="qo-dim">{word}</span>'
                f'<span class="qo-key">{function}</span>'
            )
        elif line and not line.startswith((" ", "Traceback", "During", "The above")):
            parts.append(f'<span class="qo-raised">{escape(line)}</span>')
        else:
            parts.append(str(escape(line)))
    return mark_safe("\n".join(parts))


def pill(word: str, kind: str = "") -> SafeString:
    """A small coloured word."""
    return format_html('<span class="qo-pill qo-is-{}">{}</span>', kind or word, word.replace("_", " "))


def short(text: str, length: int = 140) -> str:
    """The first line of a text, cut."""
    line = mask_text(text).strip().partition("\n")[0]
    return line if len(line) <= length else line[: length - 1] + "…"


def task_name(task: str) -> str:
    """The last two parts of a task's name: enough to know it by in a narrow column."""
    return ".".join(task.split(".")[-2:]) or "unreadable message"


def moment(when: datetime | None) -> str:
    """A time to the second, in the time zone of the project."""
    return timezone.localtime(when).strftime("%Y-%m-%d %H:%M:%S") if when else "–"


def ago(when: datetime | None) -> SafeString:
    """How long ago, with the time itself on hovering."""
    if when is None:
        return mark_safe("–")
    seconds = (timezone.now() - when).total_seconds()
    told = next(
        (f"{seconds // size:.0f} {unit} ago" for size, unit in _UNITS if seconds >= 2 * size), "just now"
    )
    return format_html('<time datetime="{}" title="{}">{}</time>', when.isoformat(), moment(when), told)


@dataclass(frozen=True, slots=True)
class Event:
    """One point of a letter's history. `kind` is "start", "attempt", "dead", "replayed" or "discarded"."""

    kind: str
    title: str
    when: datetime | None
    text: str = ""
    worker: str = ""
    pause: str = ""


def history(letter: DeadLetter) -> list[Event]:
    """The letter's life: first enqueued, each attempt with the pause before it, and what became of it."""
    return list(with_pauses(_events(letter)))


def _events(letter: DeadLetter) -> Iterator[Event]:
    if letter.replay_number:
        title = f"Enqueued, replay {letter.replay_number}"
    else:
        title = "Enqueued"
    yield Event("start", title, letter.first_enqueued_at)
    attempts = letter.attempts or []
    for place, attempt in enumerate(attempts, start=1):
        last = place == len(attempts)
        error = str(attempt.get("error") or "")
        yield Event(
            "dead" if last else "attempt",
            f"Attempt {attempt.get('n', place)}: {error or 'ended'}" + (" – gave up" if last else ""),
            letter.died_at if last else storable.at(attempt.get("at")),
            short(str(attempt.get("message") or ""), 300),
            str(attempt.get("worker") or ""),
        )
    if letter.closed_at:
        yield Event(letter.status, f"{letter.status.capitalize()} by {letter.closed_by}", letter.closed_at)


def with_pauses(events: Iterable[Event]) -> Iterator[Event]:
    """The events, each with the time since the one before it."""
    before: datetime | None = None
    for event in events:
        pause = ""
        if before and event.when and event.when > before:
            seconds = (event.when - before).total_seconds()
            pause = f"{seconds:.1f} s" if seconds < 60 else timesince(before, event.when, depth=2)
        yield Event(event.kind, event.title, event.when, event.text, event.worker, pause)
        before = event.when or before
