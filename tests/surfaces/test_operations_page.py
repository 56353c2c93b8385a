"""docs/operations.md: every command on it is one that works."""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery
from click.testing import CliRunner, Result

from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.ops import broker, dead_letters
from tests.support import letters

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
COMMAND = "python manage.py queueops "
#: 6 says that something is not healthy: a broker without workers is not.
WELL = (0, 6)


def commands() -> list[str]:
    blocks = re.findall(r"^ *```console\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
    lines = [
        line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines() if line.strip()
    ]
    assert all(line.startswith(COMMAND) for line in lines)
    return [line.removeprefix(COMMAND) for line in lines]


def called(words: list[str]) -> Result:
    from queueops.cli import root

    return CliRunner().invoke(root, words, prog_name="queueops")


@pytest.fixture
def job(app: Celery) -> Iterator[str]:
    """An incident: jobs that wait, one that runs, letters that died of a timeout; returns one job's id."""
    with broker.store() as store:
        for number in range(8):
            letters.publish(app, number, queue="bulk", org="acme")
            letters.die(store, "bulk", error="TimeoutError", message="timeout")
        dead_letters.collect_all(store)
        for _ in range(3):
            task_id = letters.publish(app, 1, queue="standard", org="acme", resource="whatsapp")
        letters.publish(app, 1, queue="critical")
        letters.claim(store, "critical")
        yield task_id


@contextmanager
def working(store: Store, queue: str) -> Iterator[None]:
    """Somebody claims the jobs of a queue, and they succeed."""
    over = threading.Event()

    def work() -> None:
        number = 0
        while not over.wait(0.05):
            number += 1
            jobs = store.claim([queue], 10, 0, "page", number).jobs
            store.settle([Settlement(one.token, "succeeded", 1.0) for one in jobs])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_every_command_of_the_page_does_what_it_says(job: str) -> None:
    for command in commands():
        words = [job if word == "JOB" else word for word in shlex.split(command)]
        if "--canary" in words:
            with broker.store() as store, working(store, "bulk"):
                done = called(words)
            assert "8 letters replayed:" in done.stdout, done.stdout
            assert "Canaries: 5 succeeded, 0 died again." in done.stdout, done.stdout
        else:
            done = called(words)
        # Nobody serves the queues here; then it says how to start a worker.
        well = done.exit_code in WELL or "Start one: celery" in done.stdout
        assert well, f"{command}: {done.exit_code}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), f"{command} says nothing"


def test_every_command_that_stands_for_another_system_s_exists() -> None:
    named = re.findall(r"`queueops ([^`]+)`", PAGE)
    assert len(named) > 40
    for command in named:
        words = shlex.split(command)
        done = called([*words[:2], "--help"])
        assert done.exit_code == 0, command
        for option in (word for word in words if word.startswith("--")):
            assert option in done.stdout, command
