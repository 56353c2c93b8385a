"""Rows and facts as people read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from celery import Celery
from click.testing import CliRunner

from queueops.cli import options
from queueops.cli.verbs import Answer, Call, Verb
from queueops.ops.plain import plain


@dataclass(frozen=True)
class Row:
    name: str
    count: int
    at: datetime | None = None
    act: Callable[[], None] | None = None

    @property
    def double(self) -> int:
        return 2 * self.count


def test_columns_are_aligned_and_numbers_stand_to_the_right(app: Celery) -> None:
    from queueops.cli import tables

    lines = tables.table(
        [Row("bulk", 7), Row("standard", 12_000)], "name", "count", ("twice", lambda one: one.double)
    )

    assert [click.unstyle(line) for line in lines] == [
        "NAME       COUNT   TWICE",
        "bulk           7      14",
        "standard  12,000  24,000",
    ]
    assert tables.table([], "name", empty="Nothing.") == ["Nothing."]


def test_on_a_terminal_a_line_is_cut_and_keeps_its_styles(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    from queueops.cli import tables

    monkeypatch.setattr(tables, "is_terminal", lambda name: True)
    monkeypatch.setenv("COLUMNS", "10")

    header, line = tables.table([Row("a" * 20, 7)], "name")

    assert line == "aaaaaaaaa…"
    assert header == click.style("NAME", bold=True)
    [_, line] = tables.table([Row("bulk", 7)], "count", ("word", lambda one: "unhealthy"))
    assert line == f"{' ' * 4}7  {click.style('un', fg='red')}…"


def test_facts_leave_out_what_is_not_known(app: Celery) -> None:
    from queueops.cli import tables

    lines = tables.facts({"queue": "bulk", "org": "", "jobs": 0, "paused": None, "since": ()})

    assert [click.unstyle(line) for line in lines] == ["queue  bulk", "jobs   0"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (1_234_567, "1,234,567"),
        (0.25, "0.25"),
        ({"a": 1, "b": 2}, "a 1, b 2"),
        (("x", "y"), "x, y"),
        ("one\ntwo", "one two"),
    ],
)
def test_a_cell_is_one_line(app: Celery, value: Any, text: str) -> None:
    from queueops.cli import tables

    assert tables.cell(value) == text


def test_sizes_shares_and_trends(app: Celery) -> None:
    from queueops.cli import tables

    assert [tables.size(count) for count in (None, 100, 5_000_000, 3 * 2**30)] == [
        None,
        "100 B",
        "5 MiB",
        "3.0 GiB",
    ]
    assert [tables.share(value) for value in (None, 0.0543)] == [None, "5.4%"]
    assert tables.trend((0, 1, 8, 4)) == " ▂█▅"


def test_dataclasses_become_json_with_their_properties_and_without_functions() -> None:
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    assert plain([Row("bulk", 2, moment, lambda: None)]) == [
        {"name": "bulk", "count": 2, "at": "2026-11-22T00:00:00+00:00", "double": 4}
    ]
    assert plain(timedelta(minutes=1)) == 60.0


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10), ("30m", 1_800), ("24h", 86_400), ("7d", 604_800), ("1h30m", 5_400)]
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert options.DURATION.convert(text, None, None).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 minutes", "-3m", "1h 30m"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="say 10s, 30m"):
        options.DURATION.convert(text, None, None)


def test_a_person_is_asked_and_may_say_no(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command(cls=Verb, asks=True)
    def destroy(call: Call) -> Answer:
        call.confirm("Delete all?")
        return Answer({"count": 1}, ["Gone."])

    def asked(*arguments: str, input: str = "") -> tuple[int, str]:
        done = CliRunner().invoke(destroy, arguments, input=input)
        return done.exit_code, done.stdout

    assert asked("--yes") == (0, "Gone.\n")
    assert asked()[0] == 2
    # CliRunner's stdin is no terminal; a person's is.
    monkeypatch.setattr("queueops.cli.verbs.is_terminal", lambda name: True)
    assert asked(input="y\n") == (0, "Gone.\n")
    assert asked(input="n\n") == (1, "")
    assert asked("--json", input="y\n")[0] == 2
