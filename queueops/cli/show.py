"""Answers on stdout: once or again and again, for people or as JSON."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from queueops.cli.failures import describe
from queueops.cli.terminal import is_terminal
from queueops.ops.plain import plain

if TYPE_CHECKING:
    from queueops.cli.verbs import Answer

__all__ = ["again", "once"]


def once(answer: Answer, *, as_json: bool) -> None:
    """Print an answer; what is longer than the terminal goes through the pager ($PAGER)."""
    if answer.data is None:
        return  # it has written what it had to say
    if as_json:
        click.echo(json.dumps(plain(answer.data), indent=2, ensure_ascii=False))
        return
    text = "\n".join(answer.lines)
    if not text:
        return
    terminal = is_terminal("stdout")
    if terminal and len(answer.lines) >= shutil.get_terminal_size().lines:
        click.echo_via_pager(text + "\n", color=_color())
    else:
        click.echo(text, color=_color())


def again(ask: Callable[[], Answer], every: float, *, as_json: bool) -> None:
    """Show the answer every so many seconds until Ctrl-C; an error is shown in its place.

    With JSON it is one line each time.
    """
    try:
        if as_json or not is_terminal("stdout"):
            _lines(ask, every, as_json)
        else:
            _screen(ask, every)
    except KeyboardInterrupt:
        return


def _lines(ask: Callable[[], Answer], every: float, as_json: bool) -> None:
    while True:
        try:
            answer = ask()
        except Exception as error:
            click.echo(f"Error: {describe(error)[1]}", err=True)
        else:
            compact = as_json and json.dumps(plain(answer.data), ensure_ascii=False)
            click.echo(compact or "\n".join(answer.lines))
        time.sleep(every)


def _screen(ask: Callable[[], Answer], every: float) -> None:
    from rich.live import Live
    from rich.text import Text

    with Live(screen=True, auto_refresh=False) as live:
        while True:
            try:
                text = "\n".join(ask().lines)
            except Exception as error:
                text = f"Error: {describe(error)[1]}"
            told = f"{time.strftime('%H:%M:%S')}, every {every:g} s; Ctrl-C ends it."
            live.update(Text.from_ansi(f"{text}\n\n{told}"), refresh=True)
            time.sleep(every)


def _color() -> bool | None:
    # None: click keeps colors on a terminal only.
    return False if os.environ.get("NO_COLOR") else None
