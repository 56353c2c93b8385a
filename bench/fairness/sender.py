"""Sends jobs at given times, from a process of its own: ``python -m bench.fairness.sender APP``."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple

from bench.processes import Failed
from bench.servers import ROOT

# Jobs sent to connect before the clock runs; their ``sent`` of 0 keeps them out of every figure.
WARM_UP = ("warm-up", 0.0, 0.001)


class Send(NamedTuple):
    """One job to send: so many seconds after the start, of this org, sleeping so long."""

    at: float
    org: str
    seconds: float


class Sender:
    """The driver's side: a context that ends with the process killed. Entered, the process is connected."""

    def __init__(self, app: str, sends: Sequence[Send], environment: dict[str, str]) -> None:
        self._command = [sys.executable, "-m", "bench.fairness.sender", app]
        self._plan = json.dumps(sends)
        self._environment = environment

    def __enter__(self) -> Sender:
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._say(self._plan)
        if self._hear() != "ready":
            raise Failed("the sender did not connect; its errors are above")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def start(self, moment: float) -> None:
        """Let the plan begin at this moment of the monotonic clock."""
        self._say(repr(moment))

    def finish(self) -> None:
        """Wait for the end of the plan."""
        if self._hear() != "sent":
            raise Failed("the sender failed; its errors are above")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def main() -> None:
    """The process's side: read the plan, connect, wait for the start, send, say so."""
    app = importlib.import_module(sys.argv[1])
    plan = [Send(*send) for send in json.loads(sys.stdin.readline())]
    org, sent, seconds = WARM_UP
    app.send(org, sent, seconds)
    print("ready", flush=True)
    start = float(sys.stdin.readline())
    for send in plan:
        time.sleep(max(0.0, start + send.at - time.monotonic()))
        app.send(send.org, time.monotonic(), send.seconds)
    print("sent", flush=True)


if __name__ == "__main__":
    main()
