"""The same commands by manage.py, by celery, and by the program of their own: real processes."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from tests.house.support import ROOT, environment
from tests.support.ports import HOST, free_port
from tests.support.valkey import Valkey

DOORWAYS = {
    "manage.py": ["manage.py", "queueops"],
    "celery": ["-m", "celery", "-A", "config", "queueops"],
    "program": ["-c", "from queueops.cli import main; main()"],
}


@pytest.fixture
def env(valkey: Valkey, migrated_sqlite: Path, tmp_path: Path) -> dict[str, str]:
    """The project's own settings, on the run's broker and a database with the tables of queueops."""
    shutil.copy(migrated_sqlite, tmp_path / "db.sqlite3")
    return environment(
        DEBUG="true",
        DATABASE_URL="",
        QUEUEOPS_BROKER_URL=valkey.broker_url,
        QUEUEOPS_VAR=str(tmp_path),
        DJANGO_SETTINGS_MODULE="config.settings",
        PYTHONPATH=str(ROOT),
        TERM="xterm",
        COLUMNS="120",
    )


def call(env: dict[str, str], doorway: Sequence[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *doorway, *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("doorway", DOORWAYS)
def test_each_doorway_leads_to_the_same_commands(env: dict[str, str], doorway: str) -> None:
    listed = call(env, DOORWAYS[doorway], "queue", "list", "--json")

    assert listed.returncode == 0, listed.stderr
    assert {one["queue"] for one in json.loads(listed.stdout)} >= {"bulk", "critical", "standard"}


@pytest.mark.parametrize("doorway", ["manage.py", "celery"])
def test_exit_codes_reach_the_shell(env: dict[str, str], doorway: str) -> None:
    unknown = call(env, DOORWAYS[doorway], "queue", "status", "nope")

    assert (unknown.returncode, unknown.stdout) == (3, "")
    assert unknown.stderr.startswith("Error: Queue 'nope' is not declared")


def test_a_broker_that_is_away_is_one_line(env: dict[str, str]) -> None:
    away = {**env, "QUEUEOPS_BROKER_URL": f"queueops://{HOST}:{free_port()}/0"}

    done = call(away, DOORWAYS["manage.py"], "queue", "status")

    assert done.returncode == 4
    assert done.stderr.startswith("Error: The broker does not answer")
    assert done.stderr.count("\n") == 1


def test_the_program_says_what_it_needs_to_find_a_project(env: dict[str, str]) -> None:
    del env["DJANGO_SETTINGS_MODULE"]

    done = call(env, DOORWAYS["program"], "queue", "status")

    assert done.returncode == 2
    assert "set DJANGO_SETTINGS_MODULE" in done.stderr


def test_celery_and_the_shell_find_the_commands_where_the_package_is_installed() -> None:
    installed = {(one.group, one.name, one.value) for one in entry_points(name="queueops")}

    assert installed >= {
        ("celery.commands", "queueops", "queueops.cli:root"),
        ("console_scripts", "queueops", "queueops.cli:main"),
    }, "make test installs the project into its environment"


def test_the_shell_completes_commands_and_names_of_queues(env: dict[str, str]) -> None:
    source = call(env, DOORWAYS["program"], "completion", "bash").stdout
    assert "_QUEUEOPS_COMPLETE=bash_complete" in source

    def completed(words: str) -> set[str]:
        place = str(len(words.split(" ")) - 1)
        asked = {"_QUEUEOPS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": place}
        done = call({**env, **asked}, DOORWAYS["program"])
        return {line.partition(",")[2] for line in done.stdout.splitlines()}

    assert completed("queueops que") == {"queue"}
    assert completed("queueops queue pause --queue b") == {"bulk"}


def test_watch_goes_on_until_ctrl_c_and_prints_a_line_of_json_each_time(env: dict[str, str]) -> None:
    with started(env, "queue", "status", "--watch=0.2", "--json", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        seen = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0

    assert len({one["at"] for one in seen}) == 3


@contextmanager
def started(env: dict[str, str], *arguments: str, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A command that runs beside the test and is gone afterwards; Ctrl-C reaches it."""
    command = [sys.executable, *DOORWAYS["manage.py"], *arguments]

    def heed_ctrl_c() -> None:
        # Whoever runs the tests in the background has it ignored, and children inherit that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(command, cwd=ROOT, env=env, preexec_fn=heed_ctrl_c, **streams)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_on_a_terminal_there_are_colors_and_watch_fills_the_screen(env: dict[str, str]) -> None:
    assert "\x1b[" not in _on_a_terminal({**env, "NO_COLOR": "1"}, "queue", "list")

    shown = _on_a_terminal(env, "queue", "status", "--watch", "0.2", until="Ctrl-C ends it.")

    assert "\x1b[?1049h" in shown  # the screen of its own, which leaves what was there before
    assert "\x1b[1m" in shown
    assert "critical" in shown


def _on_a_terminal(env: dict[str, str], *arguments: str, until: str = "") -> str:
    """What a command writes to a terminal; with `until` it is interrupted when that was written."""
    master, slave = pty.openpty()
    written, deadline = b"", time.monotonic() + 60
    with started(env, *arguments, stdin=slave, stdout=slave, stderr=slave) as process:
        os.close(slave)
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 0.5)[0]:
                continue
            try:
                piece = os.read(master, 65_536)
            except OSError:
                break  # Linux's way of saying that the other side is closed
            if not piece:
                break  # and that of other systems
            written += piece
            if until and until.encode() in written:
                process.send_signal(signal.SIGINT)
                until = ""
        code = process.wait(timeout=20)
    os.close(master)
    assert code == 0, written.decode()
    return written.decode()
