"""Results of verbs as what JSON can hold: names of fields are names of keys, times are ISO 8601."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any

from django.db.models import Model

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """Return dataclasses and rows as dicts, lengths of time as seconds, what is unknown as its text.

    A dataclass becomes its fields and its properties, without functions and what is not meant to be printed.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_dataclass(value) and not isinstance(value, type):
        found = {name: getattr(value, name) for name in _names(type(value))}
        return {name: plain(one) for name, one in found.items() if not callable(one)}
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, Model):
        return {one.attname: plain(getattr(value, one.attname)) for one in value._meta.concrete_fields}
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [plain(one) for one in value]
    return str(value)


@cache
def _names(kind: type) -> tuple[str, ...]:
    own = [one.name for one in fields(kind) if one.repr]
    computed = [name for base in kind.__mro__ for name, it in vars(base).items() if isinstance(it, property)]
    return (*own, *computed)
