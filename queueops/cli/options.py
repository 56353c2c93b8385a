"""Kinds of values that commands take, and options that several of them have."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

__all__ = [
    "DURATION",
    "MOMENT",
    "QUEUE",
    "RESOURCE",
    "Json",
    "Known",
    "limit",
    "needed_queue",
    "one_queue",
    "said_once",
    "until",
]

F = TypeVar("F", bound=Callable[..., Any])

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class Duration(click.ParamType[timedelta]):
    """A length of time: 10s, 30m, 24h, 7d, 1h30m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the length; refuses what has no unit."""
        if isinstance(value, timedelta):
            return value
        text = str(value).strip().lower()
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            self.fail(f"{value!r} is no length of time: say 10s, 30m, 24h, 7d or 1h30m.", param, ctx)
        return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))


class Moment(click.ParamType[datetime]):
    """A time in ISO 8601; without a zone it is local."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the moment with its zone."""
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(str(value)).astimezone(UTC)
        except ValueError:
            self.fail(f"{value!r} is no time: say 2026-11-22T18:30, or with its zone +01:00.", param, ctx)


class Json(click.ParamType[Any]):
    """A value in JSON, of one kind: `list` or `dict`."""

    name = "json"

    def __init__(self, kind: type[list[Any]] | type[dict[str, Any]]) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what the text says."""
        try:
            found = value if isinstance(value, self.kind) else json.loads(value)
        except ValueError as error:
            self.fail(f"this is no JSON: {error}", param, ctx)
        if not isinstance(found, self.kind):
            self.fail(f"say a JSON {'list' if self.kind is list else 'object'}.", param, ctx)
        return found


class Known(click.ParamType[str]):
    """A name that the shell can complete."""

    def __init__(self, name: str, names: Callable[[], Iterable[str]]) -> None:
        self.name = name
        self._names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name as it is: the operation knows best which ones there are."""
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so; none where broker or database do not answer."""
        try:
            return [CompletionItem(name) for name in self._names() if name.startswith(incomplete)]
        except Exception:
            return []  # a completion that complains would spoil the line that is being typed


def _queues() -> Iterable[str]:
    from queueops.conf import config
    from queueops.errors import BrokerUnavailable
    from queueops.ops import broker

    declared = set(config().queues)
    try:
        with broker.store() as store:
            return sorted({*declared, *store.queues()})
    except BrokerUnavailable:
        return sorted(declared)


def _resources() -> Iterable[str]:
    from queueops.ops import broker, resources

    with broker.store() as store:
        return resources.known(store)


DURATION = Duration()
MOMENT = Moment()
QUEUE = Known("queue", _queues)
RESOURCE = Known("resource", _resources)


def one_queue(function: F) -> F:
    """Take a queue, as `QUEUE` or `--queue QUEUE`; None where none is named."""
    return said_once("queue", "The same as QUEUE.", QUEUE, required=False)(function)


def needed_queue(function: F) -> F:
    """Take a queue, as `QUEUE` or `--queue QUEUE`; refuse where none is named."""
    return said_once("queue", "The same as QUEUE.", QUEUE)(function)


def said_once(
    name: str, told: str, kind: click.ParamType[Any] = click.STRING, *, required: bool = True
) -> Callable[[F], F]:
    """Take one value that may be said as an argument or as an option of the same name.

    Args:
        told: help of the option.
        required: refuse where it is said in neither way; None otherwise.
    """

    def joined(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        # The argument is eager, so it stands there already when the option is looked at.
        named = ctx.params.get(name)
        if named and value and named != value:
            raise click.UsageError(f"Two are named: {named} and {value}.")
        ctx.params[name] = named or value
        if required and not ctx.params[name] and not ctx.resilient_parsing:
            raise click.UsageError(f"Name the {name}.")

    def both(function: F) -> F:
        option = click.option(
            f"--{name}", f"{name}_option", type=kind, help=told, expose_value=False, callback=joined
        )
        return click.argument(name, type=kind, required=False, is_eager=True)(option(function))

    return both


def limit(default: int, most: int = 10_000) -> Callable[[F], F]:
    """Take --limit ROWS."""
    return click.option(
        "--limit", type=click.IntRange(1, most), default=default, show_default=True, help="Rows at most."
    )


def until(length: timedelta | None, moment: datetime | None = None) -> datetime | None:
    """Return the moment that is so far from now, or the moment that was named; None for neither."""
    if length is not None and moment is not None:
        raise click.UsageError("Say --for or --until, not both.")
    return datetime.now(UTC) + length if length is not None else moment
