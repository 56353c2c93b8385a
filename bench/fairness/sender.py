"""Sends jobs at given times, from a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple

from bench.processes import Failed
from bench.servers import ROOT


class Send(NamedTuple):
    """One job to send: so many seconds after the start, of this org, sleeping so long."""

    at: float
    org: str
    seconds: float


class Sender:
    """The sending process as the driver sees it: connected on entry, killed on exit."""

    def __init__(self, app: str, sends: Sequence[Send], environment: dict[str, str]) -> None:
        self._command = [sys.executable, "-m", "bench.apps", "send", app]
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
