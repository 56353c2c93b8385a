"""Child processes of a measurement: started in sessions of their own, always killed with their children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.servers import ROOT

Command = Sequence[str]


class Failed(Exception):
    """A measurement did not come to its end; the message says how far it came."""


class Workers:
    """Worker processes that run until the measurement ends."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]], log: Path) -> None:
        self.processes = processes
        self.log = log

    def check(self) -> None:
        """Raise Failed with the end of the log when a worker has ended by itself."""
        if any(process.poll() is not None for process in self.processes):
            raise Failed(f"a worker ended: {self.last_words()}")

    def last_words(self) -> str:
        """The last lines the workers wrote."""
        return self.log.read_text(errors="replace")[-2000:].strip() or "it wrote nothing"


@contextmanager
def running(commands: Sequence[Command], environment: dict[str, str]) -> Iterator[Workers]:
    """Start the commands together; kill each with its whole process group at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        log = Path(folder, "workers.log")
        started: list[subprocess.Popen[bytes]] = []
        try:
            with log.open("ab") as output:
                for command in commands:
                    started.append(
                        subprocess.Popen(
                            command,
                            env=environment,
                            cwd=ROOT,
                            stdin=subprocess.DEVNULL,
                            stdout=output,
                            stderr=output,
                            start_new_session=True,
                        )
                    )
            yield Workers(started, log)
        finally:
            for process in started:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def output_of(
    module: str, *arguments: str, environment: dict[str, str], given: str = "", seconds: float = 300
) -> str:
    """Run ``python -m module`` with ``given`` on its input; return what it printed, or raise Failed."""
    command = [sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(
            command, env=environment, cwd=ROOT, input=given, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{module} did not end within {seconds:g} s") from error
    if done.returncode:
        raise Failed(f"{module} {' '.join(arguments)} failed: {done.stderr[-2000:].strip()}")
    return done.stdout


def until(condition: Callable[[], bool], seconds: float, what: Callable[[], str], every: float) -> None:
    """Poll the condition ``every`` so many seconds; raise Failed with ``what()`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"after {seconds:g} s: {what()}")
        time.sleep(every)
