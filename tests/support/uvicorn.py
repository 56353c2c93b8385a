"""A real uvicorn in a process of its own, and a reader of its streams of events."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from .polling import eventually
from .ports import HOST, free_port
from .worker import ROOT, environment


class Uvicorn:
    """``application`` on a port of its own; ``close`` ends it."""

    def __init__(self, application: str, env: Mapping[str, str], folder: Path) -> None:
        self.port = free_port()
        self.log_path = folder / f"uvicorn-{self.port}.log"
        command = [sys.executable, "-m", "uvicorn", application, "--host", HOST, "--port", str(self.port)]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--timeout-graceful-shutdown", "2"],
                cwd=ROOT,
                env=environment(env),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        eventually(lambda: "running on" in self.log(), within=60, what="uvicorn serves")

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"

    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(15)
        print(self.log())


@dataclass
class Message:
    """One message of a stream."""

    id: str = ""
    event: str = ""
    data: dict[str, Any] = field(default_factory=dict)


class Events:
    """Reads a stream of events in a thread, as a browser does; ``close`` cuts the connection."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.messages: list[Message] = []
        self.comments = 0
        self.is_over = False
        self.last_id = ""
        self._answer = urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=60)
        self.headers = self._answer.headers
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        message = Message()
        # However the library takes it that its connection is cut by another thread.
        with suppress(OSError, ValueError, AttributeError, HTTPException):
            for raw in self._answer:
                line = raw.decode().rstrip("\n")
                name, _, value = line.partition(": ")
                if not line:
                    if message.event:
                        self.messages.append(message)
                    message = Message()
                elif line.startswith(":"):
                    self.comments += 1
                elif name == "id":
                    message.id = self.last_id = value
                elif name == "event":
                    message.event = value
                elif name == "data":
                    message.data = json.loads(value)
        self.is_over = True

    def of(self, *kinds: str, task_id: str = "") -> list[Message]:
        """What has come so far of these kinds."""
        return [
            one
            for one in list(self.messages)
            if one.event in kinds and task_id in ("", one.data.get("task_id"))
        ]

    def wait(self, kind: str, *, task_id: str = "", within: float = 40.0, more_than: int = 0) -> Message:
        """The last message of a kind, when there is one."""

        def found() -> list[Message]:
            seen = self.of(kind, task_id=task_id)
            return seen if len(seen) > more_than else []

        what = f"{kind} {task_id}"
        try:
            return eventually(found, within=within, what=what)[-1]
        except AssertionError as error:
            raise AssertionError(f"{error}; seen: {[one.event for one in self.messages]}") from error

    def close(self) -> None:
        with suppress(Exception):
            self._answer.fp.raw._sock.shutdown(2)
        self._answer.close()
