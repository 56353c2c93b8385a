"""The command line in this process: parsed by click, on a real broker and a real database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from celery import Celery
from click.testing import CliRunner

from queueops.engine.store import Store
from queueops.ops import broker
from tests.ops.conftest import app, database, project

__all__ = ["app", "database", "project"]


@dataclass(frozen=True)
class Ran:
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What --json has printed."""
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run() -> Run:
    """Call `queueops` with these arguments; `code` is what it must end with."""
    from queueops.cli import root

    def called(*arguments: str, code: int = 0, input: str = "") -> Ran:
        done = CliRunner().invoke(root, arguments, input=input, prog_name="queueops")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, f"{arguments}: {done.exit_code}\n{done.stdout}\n{done.stderr}"
        return Ran(done.exit_code, done.stdout, done.stderr)

    return called


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    """The engine's view of the broker."""
    with broker.store() as opened:
        yield opened
