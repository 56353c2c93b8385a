"""Processes stop stage by stage, in their own time, and none is left behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from deploy.local.lock import alive
from deploy.local.supervisor import Supervisor
from tests.support.polling import eventually

# Answers SIGTERM after a moment, writing its name when it ends; "ready" tells that the handler is in place.
POLITE = """
import pathlib, signal, sys, time
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
def end(*_):
    time.sleep(0.3)
    with (folder / "ended").open("a") as file:
        print(name, file=file)
    raise SystemExit
signal.signal(signal.SIGTERM, end)
(folder / f"{name}.ready").touch()
signal.pause()
"""
# Does not answer SIGTERM, and has a child.
DEAF = """
import pathlib, signal, subprocess, sys
folder, name = pathlib.Path(sys.argv[1]), sys.argv[2]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
(folder / f"{name}.child").write_text(str(child.pid))
(folder / f"{name}.ready").touch()
while True:
    signal.pause()
"""


class Run:
    def __init__(self, folder: Path, stop_seconds: float) -> None:
        self.folder = folder
        self.supervisor = Supervisor(dict(os.environ), str(folder), stop_seconds)

    def start(self, name: str, code: str) -> None:
        script = self.folder / f"{name}.py"
        script.write_text(code)
        self.supervisor.start(name, f"{sys.executable} {script} {self.folder} {name}")
        eventually((self.folder / f"{name}.ready").exists, within=30, what=f"{name} is ready")

    def order(self) -> list[str]:
        return (self.folder / "ended").read_text().split()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, stop_seconds=30)


def test_a_stage_ends_before_the_next_is_asked_to(run: Run) -> None:
    for name in ("broker", "worker", "beat"):
        run.start(name, POLITE)

    run.supervisor.stop(["beat"], ["worker"], ["broker"])

    assert run.order() == ["beat", "worker", "broker"]
    assert set(run.supervisor.ended().values()) == {0}


def test_what_does_not_end_in_time_is_killed_with_its_children(tmp_path: Path) -> None:
    run = Run(tmp_path, stop_seconds=0.5)
    run.start("deaf", DEAF)
    child = int((tmp_path / "deaf.child").read_text())

    run.supervisor.stop(["deaf"])

    assert run.supervisor.ended() == {"deaf": -signal.SIGKILL}
    eventually(lambda: not running(child), within=10, what="the child is gone")


def test_a_second_signal_kills_at_once(run: Run) -> None:
    run.start("deaf", DEAF)
    run.supervisor.on_signal(signal.SIGINT, None)
    hurry = threading.Timer(0.5, run.supervisor.on_signal, (signal.SIGINT, None))
    hurry.start()

    began = time.monotonic()
    run.supervisor.stop(["deaf"])

    assert time.monotonic() - began < run.supervisor.stop_seconds / 2
    assert run.supervisor.ended() == {"deaf": -signal.SIGKILL}
    hurry.join()


def test_while_things_start_the_end_of_one_is_noticed(run: Run) -> None:
    run.supervisor.start("short", "false")

    assert run.supervisor.wait(lambda: False, 30) is False
    assert run.supervisor.ended() == {"short": 1}


def test_what_ends_is_started_again_without_the_children_it_left(run: Run) -> None:
    noted: list[int] = []
    run.supervisor.note = lambda pids: noted.append(pids["deaf"])
    run.start("deaf", DEAF)
    child = int((run.folder / "deaf.child").read_text())
    (run.folder / "deaf.ready").unlink()
    watching = threading.Thread(target=run.supervisor.watch)
    watching.start()

    os.kill(run.supervisor.pids()["deaf"], signal.SIGKILL)

    eventually((run.folder / "deaf.ready").exists, within=30, what="it runs again")
    assert not running(child)
    eventually(lambda: len(noted) == 2, within=10, what="both are noted")
    assert noted == [noted[0], run.supervisor.pids()["deaf"]] and noted[0] != noted[1]
    run.supervisor.on_signal(signal.SIGINT, None)
    watching.join()
    run.supervisor.kill("deaf")


def test_what_always_ends_stops_everything(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.supervisor = Supervisor(dict(os.environ), str(run.folder), 1)
    run.supervisor.start("short", "false")

    assert run.supervisor.watch() is False
    assert run.supervisor.ended() == {"short": 1}
    assert "short ended 3 times right after its start (exit code 1)" in capsys.readouterr().out


def test_output_is_shown_with_the_name_of_its_process(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.supervisor = Supervisor(dict(os.environ), str(run.folder), 1)
    run.supervisor.start("talker", "printf 'one\\ntwo\\n'")
    run.supervisor.wait(lambda: False, 30)
    run.supervisor.stop(["talker"])

    # Its end may be told before its last words, which another thread reads.
    shown = [line.partition("| ")[2] for line in capsys.readouterr().out.splitlines() if "talker" in line]
    assert [line for line in shown if line in ("one", "two")] == ["one", "two"]


def running(pid: int) -> bool:
    """A child whose parent was killed may stay as a zombie where nobody collects it."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return alive(pid)
