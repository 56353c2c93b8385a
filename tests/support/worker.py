"""A real ``celery worker`` in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .ledger import Ledger
from .polling import eventually

ROOT = Path(__file__).resolve().parents[2]

# Settings of the one who runs the tests must not reach a worker: it gets what its test gives it.
OWN_NAMES = (
    "QUEUEOPS",
    "QUEUE_TENANT",
    "CELERY",
    "DJANGO",
    # Set for itself by a project's app that a test has imported.
    "FLOWER",
    "LEDGER",
    "REDIS_URL",
    "DATABASE_URL",
    "QUEUES",
    "WORKER",
    # Many short processes: without the compiled files that the first one leaves each takes twice as long.
    "PYTHONDONTWRITEBYTECODE",
)


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: this process's without names that configure us, and then ``given``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OWN_NAMES)}
    return {**inherited, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **given}


class Worker:
    """One worker: started, made ready, asked to stop, killed, read."""

    def __init__(
        self,
        *,
        app: str,
        broker_url: str,
        ledger: Ledger,
        folder: Path,
        pool: str = "prefork",
        concurrency: int = 2,
        queues: Sequence[str] = ("standard",),
        env: Mapping[str, str] | None = None,
        mingle: bool = False,
        autoscale: str = "",
    ) -> None:
        self.name = f"w{uuid.uuid4().hex[:8]}"
        self.ledger = ledger
        self.log_path = folder / f"{self.name}.log"
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            app,
            "worker",
            "--pool",
            pool,
            "-c",
            str(concurrency),
        ]
        command += ["-n", f"{self.name}@tests", "-l", "INFO"]
        if not mingle:
            # It asks the other workers for news and waits a whole second for their answers, at each start.
            command.append("--without-mingle")
        if queues:
            command += ["-Q", ",".join(queues)]
        if autoscale:
            command.append(f"--autoscale={autoscale}")
        settings = {
            "QUEUEOPS_BROKER_URL": broker_url,
            "LEDGER_URL": ledger.url,
            "LEDGER_NAMESPACE": ledger.namespace,
            "LEDGER_WORKER": self.name,
            **(env or {}),
        }
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(settings),
                stdout=log,
                stderr=subprocess.STDOUT,
                # A session of its own: its children die with it, and Ctrl-C in the terminal does not reach
                # it.
                start_new_session=True,
            )

    @property
    def hostname(self) -> str:
        return f"{self.name}@tests"

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def wait_ready(self, *, within: float = 40.0) -> Worker:
        """Return when the worker consumes: it announces itself in the ledger."""
        deadline = time.monotonic() + within
        while not self.ledger.heard(f"ready:{self.name}", within=0.2):
            assert self.alive(), f"the worker ended with {self.process.returncode}:\n{self.log()}"
            assert time.monotonic() < deadline, f"the worker is not ready after {within:g} s:\n{self.log()}"
        return self

    def log(self) -> str:
        """What it has printed so far."""
        return self.log_path.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the main process."""
        os.kill(self.pid, number)

    def send_all(self, number: signal.Signals) -> None:
        """Send a signal to the main process and to its children, as a container that is stopped or frozen
        does."""
        os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Ask for a warm shutdown: it finishes what it has in hand."""
        self.send(signal.SIGTERM)

    def wait_exit(self, *, within: float = 20.0) -> int:
        """Wait for the end of the process and return its exit code."""
        eventually(lambda: not self.alive(), within=within, what=f"the end of {self.name}")
        return int(self.process.returncode)

    def kill(self) -> None:
        """End the main process and its children with SIGKILL, as an eviction does, and wait for it."""
        with suppress(ProcessLookupError):
            self.send_all(signal.SIGKILL)
        self.process.wait(timeout=10)

    def stop(self, *, within: float = 20.0) -> None:
        """A warm shutdown that must end by itself and clean."""
        self.terminate()
        code = self.wait_exit(within=within)
        assert code == 0, f"exit code {code}:\n{self.log()}"
