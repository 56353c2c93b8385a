"""Dataclasses and rows as JSON has them: names of fields are names of keys, times are ISO 8601."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """Return the value made of what JSON knows.

    A dataclass becomes its fields and its properties, without what is not meant to be printed; a row of the
    database its columns; a length of time its seconds.
    """
    if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return float(value)
    if is_dataclass(value) and not isinstance(value, type):
        found = {name: getattr(value, name) for name in _names(type(value))}
        return {name: plain(one) for name, one in found.items() if not callable(one)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if hasattr(value, "_meta"):
        return {field.attname: plain(getattr(value, field.attname)) for field in value._meta.concrete_fields}
    if hasattr(value, "__iter__"):
        return [plain(one) for one in value]
    return str(value)


@cache
def _names(kind: type) -> tuple[str, ...]:
    own = [field.name for field in fields(kind) if field.repr]
    computed = [
        name for one in kind.__mro__ for name, made in vars(one).items() if isinstance(made, property)
    ]
    return (*own, *computed)
