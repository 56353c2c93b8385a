"""A stack of the demonstration's own: broker, database and a worker in a folder that is gone at the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

_SLOTS = 2
_START_SECONDS = 20.0
_STOP_SECONDS = 15.0


class StackFailed(Exception):
    """A process of the demonstration's stack did not start."""


@contextmanager
def own_stack() -> Iterator[dict[str, str]]:
    """Start the stack; yields the environment in which a process of this project talks to it.

    Raises StackFailed with the end of the log of what did not start.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queueops-demo-")))
        port = _free_port()
        environment = _environment(folder, port)
        broker = stack.enter_context(_process("broker", ["-m", "deploy.local.broker"], environment, folder))
        _wait_for_broker(broker, port, folder / "broker.log")
        if play(environment, "migrate", "--verbosity", "0", seconds=_START_SECONDS * 3):
            raise StackFailed("The database could not be set up.")
        worker = ["-m", "celery", "-A", "config", "worker", "-Q", "webhooks", "-n", "demo@%h"]
        worker += ["-c", str(_SLOTS), "-l", "INFO"]
        stack.enter_context(_process("worker", worker, environment, folder))
        yield environment


def play(environment: Mapping[str, str], *arguments: str, seconds: float) -> int:
    """Run ``manage.py`` with *arguments* on the stack and return its exit code.

    Raises subprocess.TimeoutExpired when it takes longer than *seconds*.
    """
    with _child(["manage.py", *arguments], environment) as process:
        return process.wait(seconds)


def worker_log(environment: Mapping[str, str], lines: int) -> str:
    """Return the last *lines* lines of what the worker has printed."""
    path = Path(environment["QUEUEOPS_VAR"]) / "worker.log"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""


def _environment(folder: Path, port: int) -> dict[str, str]:
    # Names that would lead to the machine's own stack are emptied, not removed: .env fills in what is
    # missing.
    return {
        **os.environ,
        "QUEUEOPS_VAR": str(folder),
        "BROKER_PORT": str(port),
        "QUEUEOPS_BROKER_URL": f"queueops://127.0.0.1:{port}/0",
        "REDIS_URL": "",
        "DATABASE_URL": "",
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def _process(
    name: str, arguments: list[str], environment: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.log").open("wb") as log:
        # Ctrl-C in the terminal reaches this process alone, which then ends the others in their order.
        streams = {"stdout": log, "stderr": subprocess.STDOUT, "start_new_session": True}
        with _child(arguments, environment, **streams) as process:
            yield process


@contextmanager
def _child(
    arguments: list[str], environment: Mapping[str, str], **streams: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python with *arguments*; at the end it is asked to stop, and killed when it does not."""
    process = None
    try:
        with _undisturbed():
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env=dict(environment), **streams
            )
        yield process
    finally:
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C wait: in the midst of a start they would leave a process that nobody ends."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for which in came:
            signal.raise_signal(which)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _wait_for_broker(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackFailed(f"The broker did not start:\n{log.read_text(errors='replace')[-2_000:]}")
        time.sleep(0.05)
