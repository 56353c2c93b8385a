"""Parsers of setting values: each returns the value, or raises ValueError that says what is wanted.

They take what a settings module holds (numbers, lists) and what an environment variable holds (text).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from queueops.engine.rules.gates import rate
from queueops.errors import ConfigurationError, LimitInvalid

__all__ = [
    "NAME",
    "choice",
    "flag",
    "links",
    "mapping",
    "name",
    "number",
    "optional",
    "parsed",
    "patience",
    "per_minute",
    "prefetch",
    "refuse_unknown",
    "routes",
    "strings",
    "text",
    "url",
    "whole",
]

#: Names of orgs, queues and resources. No ":" or blank: they are parts of Redis keys and packed records.
NAME = re.compile(r"[A-Za-z0-9._@-]{1,128}")


def choice(*allowed: str) -> Callable[[Any], Any]:
    """One of `allowed`."""

    def parse(value: Any) -> Any:
        if value not in allowed:
            raise ValueError("one of " + ", ".join(map(repr, allowed)))
        return value

    return parse


def whole(least: int) -> Callable[[Any], int]:
    """A whole number of at least `least`."""

    def parse(value: Any) -> int:
        written = isinstance(value, str) and value.strip().lstrip("-").isdigit()
        number = int(value) if written else value
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise ValueError(f"a whole number of at least {least}")
        return number

    return parse


def number(above: float, *, equal: bool = False) -> Callable[[Any], float]:
    """A finite number above `above`, or from it on when `equal`."""

    def parse(value: Any) -> float:
        wanted = f"a number {'of at least' if equal else 'above'} {above:g}"
        try:
            number = float("nan") if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            raise ValueError(wanted) from None
        # `not >` also refuses NaN; infinity would never end.
        if not (number >= above if equal else number > above) or number == float("inf"):
            raise ValueError(wanted)
        return number

    return parse


def optional(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """None, or what `parse` takes."""
    return lambda value: None if value is None else parse(value)


def name(value: Any) -> str:
    """A name of a queue, org or resource."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError('a name of 1 to 128 letters, digits and ". _ @ -"')
    return value


def strings(value: Any) -> tuple[str, ...]:
    """A list of strings; text is split at commas."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    parts = tuple(value) if isinstance(value, Iterable) else (None,)
    if not all(isinstance(part, str) for part in parts):
        raise ValueError("a list of strings")
    return parts


def flag(value: Any) -> bool:
    """A truth value."""
    if isinstance(value, str) and value.lower() in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        return value.lower() in ("1", "true", "yes", "on")
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


def prefetch(value: Any) -> Any:
    """How many jobs to claim ahead, or "auto"."""
    if value == "auto":
        return value
    try:
        return whole(0)(value)
    except ValueError:
        raise ValueError('"auto" or a whole number of at least 0') from None


def per_minute(value: Any) -> float:
    """A rate, in jobs or requests a minute."""
    try:
        return rate(value)
    except LimitInvalid:
        raise ValueError("a rate as 10/s, 600/m, 1000/h, or a number a minute") from None


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def url(value: Any) -> str:
    """Stock Celery's URL names the same server: only the scheme says whose broker it is."""
    given = text(value)
    for stock, ours in (("redis://", "queueops://"), ("rediss://", "queueopss://")):
        if given.startswith(stock):
            return ours + given.removeprefix(stock)
    return given


def links(value: Any) -> Mapping[str, str]:
    """Names and addresses of pages; an address that is empty is left out."""
    found = value if isinstance(value, Mapping) else {"": None}
    for name, address in found.items():
        if not isinstance(name, str) or not isinstance(address, str) or not name:
            raise ValueError('a dict of {"name": "address"}')
        # A link is clicked by operators: it leads to a page, and runs nothing.
        if address and not re.match(r"https?://|/(?!/)", address):
            raise ValueError("addresses that begin with http://, https:// or /")
    return MappingProxyType({name: address for name, address in found.items() if address})


def mapping(value: Any) -> Mapping[str, Any]:
    """A dict."""
    if not isinstance(value, Mapping):
        raise ValueError("a dict")
    return value


def routes(value: Any) -> Mapping[str, str]:
    """Task names or globs and their queues."""
    if not isinstance(value, Mapping) or not all(
        isinstance(k, str) and isinstance(v, str) for k, v in value.items()
    ):
        raise ValueError('a dict of {"task name or glob": "queue"}')
    return MappingProxyType(dict(value))


def patience(value: Any) -> Mapping[int, int]:
    """Milliseconds by priority."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError("a dict of {priority 0..10: milliseconds}")
    for priority, ms in value.items():
        if not isinstance(priority, int) or not 0 <= priority <= 10 or not isinstance(ms, int) or ms < 0:
            raise ValueError("a dict of {priority 0..10: milliseconds}")
    return MappingProxyType({int(k): int(v) for k, v in value.items()})


def parsed(where: str, parse: Callable[[Any], Any], value: Any) -> Any:
    """What `parse` makes of `value`, or ConfigurationError that names the setting `where`."""
    try:
        return parse(value)
    except (TypeError, ValueError) as exc:
        raise ConfigurationError(f"{where} must be {exc}, not {value!r}.") from exc


def refuse_unknown(given: Any, known: tuple[str, ...], where: str) -> None:
    """Raise ConfigurationError for a key that is not in `known`; `where` has a {} for it."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{where.rpartition('[')[0]} must be a dict, not {given!r}.")
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)
            raise ConfigurationError(f"{where.format(key)} is not a setting. The nearest one is {near[0]!r}.")
