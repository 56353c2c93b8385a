"""The soak's workers: one for each pool, each behind a proxy of its own, started again when they end."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.soak.faults import Chronicle, Fault, Kind
from tests.soak.site import Site
from tests.soak.terms import (
    ARM,
    ATTEMPTS,
    HEARTBEAT_SECONDS,
    LEASE_SECONDS,
    OURS,
    QUEUES,
    RETRY_SECONDS,
)
from tests.support.ledger import Ledger
from tests.support.proxy import Proxy
from tests.support.worker import Worker

POOLS = (("prefork", 2), ("threads", 4), ("solo", 1), ("gevent", 8))


class Slot:
    """A place in the fleet: its pool and proxy stay, its worker changes."""

    def __init__(self, pool: str, concurrency: int, proxy: Proxy) -> None:
        self.pool = pool
        self.concurrency = concurrency
        self.proxy = proxy
        self.worker: Worker | None = None
        #: Held by whoever hurts or starts this slot's worker.
        self.lock = threading.Lock()

    @property
    def name(self) -> str:
        """The host name of its worker, as runs record it."""
        return self.worker.hostname if self.worker is not None else ""


class Fleet:
    """All workers of the soak."""

    def __init__(self, arm: str, site: Site, ledger: Ledger, folder: Path, chronicle: Chronicle) -> None:
        self.arm = arm
        self.site = site
        self.ledger = ledger
        self.folder = folder
        self.chronicle = chronicle
        self.started: list[Worker] = []
        self.unclean: list[str] = []
        self.slots = [Slot(pool, concurrency, site.proxy()) for pool, concurrency in POOLS]

    def start(self, slot: Slot) -> Worker:
        """Start a worker in ``slot``."""
        policy = {"base_seconds": RETRY_SECONDS, "cap_seconds": 5, "attempts": ATTEMPTS}
        settings = {"RETRY_POLICIES": dict.fromkeys(QUEUES, policy)}
        ours = self.arm == OURS
        slot.worker = Worker(
            app="tests.soak.app",
            broker_url=slot.proxy.broker_url if ours else slot.proxy.url,
            ledger=self.ledger,
            folder=self.folder,
            pool=slot.pool,
            concurrency=slot.concurrency,
            queues=QUEUES,
            env={
                ARM: self.arm,
                "QUEUEOPS_LEASE_SECONDS": str(LEASE_SECONDS),
                "QUEUEOPS_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
                "LEDGER_SETTINGS": json.dumps(settings),
                "DATABASE_URL": self.site.database_url,
            },
        )
        self.started.append(slot.worker)
        return slot.worker

    def start_all(self) -> None:
        """Start one worker a slot and wait until all consume."""
        for worker in [self.start(slot) for slot in self.slots]:
            worker.wait_ready(within=120)

    def look_after(self, over: threading.Event) -> None:
        """Until ``over``: start again what has ended by itself, as a supervisor of services does."""
        while not over.wait(0.5):
            for slot in self.slots:
                with slot.lock:
                    worker = slot.worker
                    if worker is not None and not worker.alive():
                        self._ended(worker)
                        self.start(slot)

    def _ended(self, worker: Worker) -> None:
        note = f"exit code {worker.process.returncode}: {worker.log()[-2000:]}"
        self.chronicle.add(Fault(Kind.WORKER_ENDED, time.time(), time.time(), (worker.hostname,), note=note))
        with suppress(ProcessLookupError):
            worker.send_all(signal.SIGKILL)

    def stop_all(self) -> None:
        """Stop all workers as a deploy does; whoever does not end clean is noted."""
        for slot in self.slots:
            if slot.worker is not None and slot.worker.alive():
                slot.worker.terminate()
        for slot in self.slots:
            if slot.worker is None:
                continue
            try:
                code = slot.worker.wait_exit(within=40)
            except AssertionError:
                code = -1
            if code:
                self.unclean.append(f"{slot.name} ({slot.pool}): exit code {code}")

    def close(self) -> None:
        """Kill what still runs."""
        for worker in self.started:
            worker.kill()


def children(worker: Worker) -> Sequence[int]:
    """The pids of the pool processes of a prefork worker."""
    found: list[int] = []
    for thread in Path(f"/proc/{worker.pid}/task").iterdir():
        with suppress(OSError):
            found += [int(pid) for pid in (thread / "children").read_text().split()]
    return [pid for pid in found if _is_celery(pid)]


def _is_celery(pid: int) -> bool:
    with suppress(OSError):
        return b"celery" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def kill_process(pid: int) -> None:
    """End one process with SIGKILL."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
