"""Rows as aligned columns and single things as a list of facts, for people and for grep."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import click

from queueops.cli.terminal import is_terminal
from queueops.ops.estimate import span

__all__ = ["ago", "at_ms", "cell", "facts", "plural", "share", "since_ms", "size", "span", "table", "trend"]

#: A column: the name of a field, or a title and what to take from the row.
Column = str | tuple[str, Callable[[Any], Any]]

#: Words that are worth a color.
_COLORS = {
    "healthy": "green",
    "degraded": "yellow",
    "unhealthy": "red",
    "open": "red",
    "half_open": "yellow",
    "paused": "yellow",
    "dead": "red",
    "parked": "red",
    "succeeded": "green",
}


_STYLE = re.compile(r"(\x1b\[[0-9;]*m)")


def table(rows: Iterable[Any], *columns: Column, empty: str = "None.") -> list[str]:
    """Return a header and a line for each row; `empty` alone where there is none.

    On a terminal the last column is cut where the line would be longer than it is wide.
    """
    titles = [_title(column) for column in columns]
    values = [[_of(column, row) for column in columns] for row in rows]
    if not values:
        return [empty]
    texts = [[cell(value) for value in line] for line in values]
    widths = [
        max(len(title), *(len(click.unstyle(text)) for text in column))
        for title, column in zip(titles, zip(*texts, strict=True), strict=True)
    ]
    right = [all(map(_is_number, line)) for line in zip(*values, strict=True)]
    header = [click.style(title, bold=True) for title in titles]
    return [_line(line, widths, right) for line in (header, *texts)]


def facts(pairs: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> list[str]:
    """Return a line `name  value` for each fact that is known."""
    given = [
        (name, cell(value)) for name, value in dict(pairs).items() if value not in (None, "", (), [], {})
    ]
    width = max((len(name) for name, _ in given), default=0)
    return [f"{click.style(name.ljust(width), bold=True)}  {text}" for name, text in given]


def cell(value: Any) -> str:
    """Return a value as people read it, on one line."""
    if value is None or value == "":
        return "-"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {cell(one)}" for key, one in value.items()) or "-"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(cell(one) for one in value) or "-"
    text = " ".join(str(value).split())
    color = _COLORS.get(text)
    return click.style(text, fg=color) if color else text


def ago(moment: datetime | None) -> str | None:
    """Return how long ago a moment was, or how far ahead it is."""
    if moment is None:
        return None
    seconds = (datetime.now(moment.tzinfo) - moment).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def at_ms(ms: int) -> datetime | None:
    """Return the moment that many ms after 1970; None for 0."""
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None


def since_ms(ms: int, now_ms: int) -> str | None:
    """Return the time from `ms` to `now_ms`; None for 0."""
    return span(max(0, now_ms - ms) / 1000) if ms else None


def share(value: float | None) -> str | None:
    """Return a part of 1 in per cent."""
    return None if value is None else f"{value:.1%}"


def plural(count: int, noun: str) -> str:
    """Return "1 job" or "2,000 jobs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size(count: int | None) -> str | None:
    """Return bytes in the unit that reads best."""
    if count is None:
        return None
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def trend(numbers: Sequence[int]) -> str:
    """Return a line of bars, the highest for the largest number."""
    most = max(numbers, default=0)
    return "".join("▁▂▃▄▅▆▇█"[round(7 * number / most)] if number else " " for number in numbers).rstrip()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _title(column: Column) -> str:
    return (column if isinstance(column, str) else column[0]).replace("_", " ").upper()


def _of(column: Column, row: Any) -> Any:
    return getattr(row, column) if isinstance(column, str) else column[1](row)


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = []
    for text, width, to_right in zip(texts, widths, right, strict=True):
        gap = " " * (width - len(click.unstyle(text)))
        padded.append(gap + text if to_right else text + gap)
    line = "  ".join(padded).rstrip()
    return _cut(line, shutil.get_terminal_size().columns) if is_terminal("stdout") else line


def _cut(line: str, wide: int) -> str:
    """The line as far as it can be seen, with its styles."""
    if len(click.unstyle(line)) <= wide:
        return line
    kept, left = [], wide - 1
    for part in _STYLE.split(line):
        if _STYLE.fullmatch(part):
            kept.append(part)
        else:
            kept.append(part[:left])
            left -= len(kept[-1])
    return "".join(kept) + "…"
