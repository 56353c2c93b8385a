"""Which letters a command of `dlq` is about: numbers, or filters, or all of a queue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from queueops.cli import options
from queueops.engine.rules.states import LetterStatus, Reason

__all__ = ["LETTER", "chosen", "filters", "status"]

F = TypeVar("F", bound=Callable[..., Any])


class Letter(click.ParamType[int]):
    """The number of a letter."""

    name = "letter"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; says how a queue is named to whoever names one here."""
        if not str(value).isdecimal():
            told = f"{value!r} is no number of a letter; a queue is named by --queue {value}."
            self.fail(told, param, ctx)
        return int(value)


LETTER = Letter()

_FILTERS = (
    click.option("--queue", type=options.QUEUE, default="", help="Of this queue."),
    click.option("--org", default="", help="Of this org."),
    click.option("--task", default="", help="Of this task."),
    click.option("--error", default="", help="Part of the error's class or message, or the reason: timeout."),
    click.option("--reason", type=click.Choice([reason.value for reason in Reason]), help="Why it died."),
    click.option("--fingerprint", default="", help="Of this group: see `dlq groups`."),
    click.option("--text", default="", help="Words of a search."),
    click.option("--younger-than", type=options.DURATION, help="Died within this time: 24h."),
    click.option("--older-than", type=options.DURATION, help="Died longer ago: 30d."),
)

status = click.option(
    "--status",
    type=click.Choice([*(one.value for one in LetterStatus), "all"]),
    default=LetterStatus.PARKED.value,
    show_default=True,
    help="What became of it.",
)


def filters(function: F) -> F:
    """Take the filters of letters; the command gets them as keywords for `chosen`."""
    for option in reversed(_FILTERS):
        function = option(function)
    return function


def chosen(
    younger_than: timedelta | None = None,
    older_than: timedelta | None = None,
    reason: str | None = None,
    **given: Any,
) -> dict[str, Any]:
    """Return filters as the operations take them; those that were not given are left out."""
    now = datetime.now(UTC)
    said = {
        **given,
        "reason": reason,
        "died_since": now - younger_than if younger_than is not None else None,
        "died_before": now - older_than if older_than is not None else None,
    }
    return {name: value for name, value in said.items() if value}
