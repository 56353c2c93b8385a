"""Makes values fit the columns of every database, so that no letter is refused for what a job carried."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["at", "document", "encoded", "line", "text", "whole"]


def text(value: object) -> str:
    """The value as text without NUL and lone surrogates, which PostgreSQL refuses."""
    return str(value or "").replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def line(value: object, length: int = 255) -> str:
    """As `text`, cut to the length of a column."""
    return text(value)[:length]


def encoded(message: str) -> tuple[str, str]:
    """A message and its encoding ("" or "base64"), so that every character of it comes back as it was."""
    if text(message) == message:
        return message, ""
    return base64.b64encode(message.encode("utf-8", "surrogatepass")).decode(), "base64"


def document(value: Any) -> Any:
    """A JSON value without what JSON columns refuse: NUL in text, NaN, infinities, keys that are no text."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {text(key): document(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [document(item) for item in value]
    return value


def whole(value: Any, least: int = 0, most: int = 2**31 - 1) -> int:
    """A whole number that fits its column; nothing counts as `least`. Raises ValueError for no number."""
    return min(max(int(value or 0), least), most)


def at(milliseconds: int | float | None) -> datetime | None:
    """The moment that many milliseconds after 1970; None for nothing or for a time no calendar has."""
    if not milliseconds:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, TypeError, ValueError):
        return None
