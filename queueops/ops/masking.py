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
def _text_pattern(keys: tuple[str, ...]) -> re.Pattern[str] | None:
    if not keys:
        return None
    names = "|".join(f"(?:{key})" for key in keys)
    # `token=abc`, `"token": "abc"`, `Authorization: Bearer abc`: up to a quote, separator or space.
    before = rf"""(?P<key>[\w-]*(?:{names})[\w-]*["']?\s*[:=]\s*["']?(?:(?:Bearer|Basic)\s+)?)"""
    return re.compile(
        before + r"""(?P<value>[^\s"',;&})\]]+)""",
        re.IGNORECASE,
    )


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
    """Return `text` with what follows a masked key replaced: for error messages and tracebacks."""
    pattern = _text_pattern(config().mask_keys)
    return pattern.sub(lambda found: found["key"] + MASK, text) if pattern else text


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
