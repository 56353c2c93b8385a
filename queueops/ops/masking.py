"""Hides secrets from the people who may read payloads, and puts them back when they edit one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from queueops.conf import config

__all__ = ["MASK", "mask", "mask_text", "unmask"]

#: Stands where a value is not shown. Nobody types it by chance, so it can be put back after an edit.
MASK = "••••••"


@lru_cache(maxsize=32)
def _pattern(keys: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{key})" for key in keys), re.IGNORECASE) if keys else None


@lru_cache(maxsize=32)
def _head_pattern(keys: tuple[str, ...]) -> re.Pattern[str] | None:
    """What stands before a secret in a text: `token=`, `"token": `, `\\"token\\": ` (JSON within JSON)."""
    if not keys:
        return None
    names = "|".join(f"(?:{key})" for key in keys)
    # What stands before the name is no part of it, and what follows is bounded: a text of nothing but names
    # is read once, not once for each of them.
    return re.compile(rf"""(?P<key>(?:{names})[\w-]{{0,64}})(?:\\*["'])?\s*[:=]\s*""", re.IGNORECASE)


#: A quote that opens a string, with the prefix of a Python literal and the backslashes of the nesting.
_OPENING = re.compile(r"""(?:[bru]{0,2})(?P<slashes>\\*)(?P<quote>["'])""", re.IGNORECASE)
_PLAIN = re.compile(r"""[^\s"',;&})\]]+""")
_LINE = re.compile(r"[^\r\n]*")
_BRACKET = re.compile(r"""[\[({\])}\r\n]|\\*["']""")
_QUOTES = {quote: re.compile(rf"(\\*){quote}|[\r\n]") for quote in "\"'"}
#: Words before a secret, in the header as anywhere; those of the header alone are words elsewhere.
_SCHEME = re.compile(r"(?:Bearer|Basic)\s+", re.IGNORECASE)
_HEADER_SCHEME = re.compile(r"(?:Bearer|Basic|Token|Api-?Key|Negotiate|NTLM)\s+", re.IGNORECASE)


def is_masked(key: object) -> bool:
    """Whether MASK_KEYS names this key."""
    pattern = _pattern(config().mask_keys)
    return pattern is not None and isinstance(key, str) and pattern.search(key) is not None


def mask(value: Any) -> Any:
    """Return `value` with the value of every masked key replaced, however deep; `value` itself stays."""
    if isinstance(value, Mapping):
        return {
            key: MASK if is_masked(key) and item is not None else mask(item) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask(item) for item in value]
    return value


def mask_text(text: str) -> str:
    """Return `text` with what follows a masked key replaced: for error messages and tracebacks.

    A value in quotes goes to the quote that closes it, one in brackets to the bracket, or to the end
    of its line; any other one to the next space, quote or separator. It takes time in proportion to the text.
    """
    pattern = _head_pattern(config().mask_keys)
    if pattern is None:
        return text
    made: list[str] = []
    done = 0
    while head := pattern.search(text, done):
        if head.end() == done:  # a key of MASK_KEYS that fits nothing at all
            break
        start, end = _value(text, head)
        made.append(text[done:start])
        if end > start:
            made.append(MASK)
        done = end
    return "".join(made) + text[done:]


def _value(text: str, head: re.Match[str]) -> tuple[int, int]:
    """Where the secret after a key begins and ends."""
    in_header = "authorization" in head["key"].lower()
    scheme = _HEADER_SCHEME if in_header else _SCHEME
    start = head.end()
    if opening := _OPENING.match(text, start):
        end = _closing(text, opening)
        kept = scheme.match(text, opening.end(), end)
        return (kept or opening).end(), end
    if text[start : start + 1] in tuple("[({"):
        return start, _closed(text, start)
    kept = scheme.match(text, start)
    if kept and _PLAIN.match(text, kept.end()):
        start = kept.end()
    plain = _PLAIN.match(text, start)
    end = plain.end() if plain else start
    if in_header and plain and not kept and text[end : end + 1] in (" ", "\t"):
        # A scheme that nobody knows here, or the secret itself: what follows may be a part of it.
        line = _LINE.match(text, end)
        end = line.end() if line else end
    return start, end


def _closing(text: str, opening: re.Match[str]) -> int:
    """Where the string ends: at its own quote, the quote of a string around it, or the end of the line."""
    depth, place = len(opening["slashes"]), opening.end()
    for found in _QUOTES[opening["quote"]].finditer(text, place):
        slashes = found[1]
        # Within a string of this depth each backslash is written `depth + 1` times.
        if slashes is None or len(slashes) < depth or len(slashes) % (2 * depth + 2) == depth:
            return found.end() - 1 - depth if slashes and len(slashes) >= depth else found.start()
    return len(text)


def _closed(text: str, start: int) -> int:
    """Where what a bracket opens ends: behind the bracket that closes it, or at the end of the line."""
    depth, place = 0, start
    while found := _BRACKET.search(text, place):
        place = found.end()
        if found[0] in "\r\n":
            return found.start()
        if opening := _OPENING.match(text, found.start()):
            place = _closing(text, opening)
            # Behind the quote that closes it; at the end of the line there is none.
            place += len(found[0]) if text.startswith(found[0], place) else 0
            continue
        depth += 1 if found[0] in "[({" else -1
        if not depth:
            return place
    return len(text)


def unmask(edited: Any, original: Any) -> Any:
    """Return `edited` with every mask replaced by what stands at the same place in `original`.

    Raises:
        ValueError: nobody knows what a mask hides: it stands where the original has no value, or in a list
            that has another length now, so that its items may have moved.
    """
    if edited == MASK:
        if original is _NOTHING:
            raise ValueError(f"{MASK} hides a value only where it was shown. Write the value itself.")
        return original
    if isinstance(edited, Mapping):
        known = original if isinstance(original, Mapping) else {}
        return {key: unmask(item, known.get(key, _NOTHING)) for key, item in edited.items()}
    if isinstance(edited, list):
        same = isinstance(original, list) and len(original) == len(edited)
        return [unmask(item, original[place] if same else _NOTHING) for place, item in enumerate(edited)]
    return edited


_NOTHING: Any = object()
