"""What was done to whom and when: the only thing that may explain a second run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The faults. Those of the first group may cost a second run, the others must not."""

    WORKER_KILLED = "worker killed"
    CHILD_KILLED = "pool process killed"
    STOPPED = "worker stopped"
    CUT_OFF = "worker cut off"
    PROMOTED = "replica promoted"
    MACHINE_STOOD = "machine stood still"

    CONNECTION_CUT = "connections cut"
    ALL_CUT_OFF = "everybody cut off"
    DEPLOYED = "worker restarted by SIGTERM"
    BROKER_STOPPED = "broker SHUTDOWN"
    BROKER_KILLED = "broker kill -9"
    BROKER_FULL = "broker full"
    CLOCK_STEPPED = "clock stepped"
    DATABASE_AWAY = "database away"
    WORKER_ENDED = "worker ended by itself"


@dataclass
class Fault:
    """One fault. Times are Unix seconds; ``ended`` is 0 while it lasts. ``workers`` are the names of those
    that it hit, empty for all; ``pid`` is that of a killed pool process."""

    kind: Kind
    began: float
    ended: float = 0.0
    workers: tuple[str, ...] = ()
    pid: int = 0
    note: str = ""

    def until(self, at: float) -> float:
        """When it ended, at the latest ``at``."""
        return min(self.ended, at) if self.ended else at

    def hit(self, worker: str) -> bool:
        """Whether it hit that worker."""
        return not self.workers or worker in self.workers


class Chronicle:
    """All faults so far; threads of the storm write into it side by side."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """Write one down."""
        with self._lock:
            self.faults.append(fault)
        return fault

    @contextmanager
    def lasting(self, kind: Kind, *workers: str, pid: int = 0, note: str = "") -> Iterator[Fault]:
        """Write a fault down before it is done, and its end when it has been undone."""
        fault = self.add(Fault(kind, time.time(), workers=workers, pid=pid, note=note))
        try:
            yield fault
        finally:
            fault.ended = time.time()
