"""One stack at a time in one directory: a lock file that also names the processes of the stack."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import IO


class AlreadyRunning(Exception):
    """Another stack holds the lock."""

    def __init__(self, pid: int | None) -> None:
        self.pid = pid
        stop = f"or with: kill {pid}" if pid else ""
        super().__init__(
            f"The stack is already running (pid {pid}). Stop it with Ctrl-C where it runs {stop}".strip()
        )


class Lock:
    """Held from `acquire` to the end of this process, however it ends: the kernel lets go, not a handler."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: IO[str] | None = None
        self.leftovers: dict[str, int] = {}

    def acquire(self) -> None:
        """Take the lock; afterwards `leftovers` names processes that an earlier, killed stack left running.

        Raises AlreadyRunning with the pid of the holder.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+")
        file.seek(0)
        written = parse(file.read())
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise AlreadyRunning(written.get("stack")) from None
        self.file = file
        self.leftovers = {name: pid for name, pid in written.items() if name != "stack" and alive(pid)}
        self.write({})

    def write(self, processes: dict[str, int]) -> None:
        """Note which processes belong to this stack (name to pid)."""
        if self.file is None:
            return
        self.file.seek(0)
        self.file.truncate()
        json.dump({"stack": os.getpid(), **processes}, self.file)
        self.file.flush()

    def release(self) -> None:
        """Let go at once; a process that ends lets go without it."""
        if self.file is not None:
            self.file.truncate(0)
            self.file.close()
            self.file = None


def parse(text: str) -> dict[str, int]:
    try:
        return dict(json.loads(text))
    except ValueError:
        return {}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
