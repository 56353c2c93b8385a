"""Response schemas made from the dataclasses and models of the verbs: no field is written twice."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Union

from django.db.models import Model
from ninja import Schema
from ninja.orm import create_schema
from pydantic import ConfigDict, Field, create_model

__all__ = ["Told", "many", "named", "page", "row", "shape"]

_made: dict[str, type[Schema]] = {}
#: What each of them was made of, to refuse another one of the same name.
_sources: dict[str, Any] = {}
#: What stands for a dataclass inside another one: the first shape that was made of it.
_of_class: dict[type[Any], type[Schema]] = {}
#: `    name, other: what it is` in the Attributes section of a docstring.
_ATTRIBUTE = re.compile(r"(\w+(?:, \w+)*): (.*)")


class Shape(Schema):
    """What a verb returned. Read from its attributes; everything is always there."""

    model_config = ConfigDict(from_attributes=True)


class Told(Schema):
    """What was done, in a sentence, and to how many."""

    message: str
    count: int


def shape(
    cls: type[Any], *, name: str = "", leave_out: Iterable[str] = (), add: Iterable[str] = ()
) -> type[Schema]:
    """The schema of a dataclass, with the dataclasses in it, and their docstrings as descriptions.

    Args:
        name: in the OpenAPI page; the class's own by default. It names one shape only.
        leave_out: fields that do not leave the process.
        add: properties that do.

    Raises:
        TypeError: the name stands for something else already.
    """
    name = name or cls.__name__
    key = (cls, frozenset(leave_out), frozenset(add))
    if name in _made:
        if _sources[name] != key:
            raise TypeError(f"Two shapes have the name {name}: give {cls.__qualname__} another one.")
        return _made[name]
    hints = typing.get_type_hints(cls)
    told = _attributes(cls)
    fields: dict[str, Any] = {
        field.name: (_shaped(hints[field.name]), Field(description=told.get(field.name)))
        for field in dataclasses.fields(cls)
        if field.name not in leave_out
    }
    for prop in add:
        getter = getattr(cls, prop).fget
        fields[prop] = (
            _shaped(typing.get_type_hints(getter)["return"]),
            Field(description=_first(getter)),
        )
    made: type[Schema] = create_model(name, __base__=Shape, __doc__=_first(cls), **fields)
    _made[name], _sources[name] = made, key
    _of_class.setdefault(cls, made)
    return made


def row(model: type[Model], *, leave_out: Iterable[str] = ()) -> type[Schema]:
    """The schema of a table's row."""
    return create_schema(model, name=model.__name__, exclude=list(leave_out))


def many(item: type[Schema]) -> Any:
    """A list of these, whole."""
    return list[item]  # type: ignore[valid-type]


def named(item: Any) -> Any:
    """These by their names."""
    return dict[str, item]


def page(item: type[Schema], *, name: str = "", **more: type) -> type[Schema]:
    """The schema of a page of these: `items`, and `next`, the cursor of the page after it (null: none).

    Args:
        name: in the OpenAPI page; by default that of the item and "Page".
        more: further fields.
    """
    made: type[Schema] = create_model(
        name or f"{item.__name__}Page",
        __base__=Shape,
        items=(list[item], ...),  # type: ignore[valid-type]
        next=(str | None, Field(description="Give it as `cursor` to go on; null is the end.")),
        **{field: (hint, ...) for field, hint in more.items()},  # type: ignore[call-overload]
    )
    return made


def _shaped(hint: Any) -> Any:
    """The hint with a schema in the place of each dataclass in it."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _of_class.get(hint) or shape(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if not args or origin is typing.Literal:
        return hint
    inner = tuple(arg if arg is Ellipsis else _shaped(arg) for arg in args)
    if origin in (Union, types.UnionType):
        return Union[inner]  # noqa: UP007  made of a tuple
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return dict[inner]  # type: ignore[misc, valid-type]
    return origin[inner]


def _first(documented: Any) -> str | None:
    """The first paragraph of a docstring, on one line."""
    text = inspect.getdoc(documented)
    return " ".join(text.partition("\n\n")[0].split()) if text else None


def _attributes(cls: type[Any]) -> dict[str, str]:
    """What the docstring's Attributes section says of each field."""
    _, _, section = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    told: dict[str, str] = {}
    for entry in re.split(r"\n(?= {4}\S)", section.partition("\n\n")[0]):
        # A line may hold several sentences of which each describes a field of its own.
        for part in re.split(r"(?<=[.;]) (?=\w+(?:, \w+)*: )", " ".join(entry.split())):
            if found := _ATTRIBUTE.fullmatch(part):
                told |= dict.fromkeys(found[1].split(", "), found[2])
    return told
