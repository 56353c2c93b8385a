"""One test's broker, ledger, publisher and workers, put together and taken apart."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.result import AsyncResult

from .ledger import Ledger
from .polling import eventually
from .proxy import Proxy
from .valkey import Valkey
from .worker import Worker

if TYPE_CHECKING:
    from queueops.engine.store import Store
    from queueops.engine.types import DeadEntry, QueueSnapshot

# Short, so that a test sees leases lapse in seconds; every length of time below is derived from it.
LEASE_SECONDS = 3
QUICK = {"QUEUEOPS_LEASE_SECONDS": str(LEASE_SECONDS), "QUEUEOPS_HEARTBEAT_SECONDS": "1"}


class Stack:
    """What a test of a fault talks to.

    ``task`` names the ledger's tasks (``ledger.run`` and so on, ``tests/apps/tasks.py``).
    """

    def __init__(self, broker: Valkey, ledger_url: str, folder: Path) -> None:
        from tests.apps.ledger import make_app

        self.broker = broker
        self.folder = folder
        self.ledger = Ledger(ledger_url, namespace=uuid.uuid4().hex)
        self.workers: list[Worker] = []
        self.proxies: list[Proxy] = []
        self.apps: list[Celery] = []
        self._make_app = make_app
        self.app = self.make_app(broker.broker_url)

    def make_app(self, broker_url: str, **conf: Any) -> Celery:
        """Return one more publisher."""
        app = self._make_app(broker_url, **conf)
        self.apps.append(app)
        return app

    def enqueue(
        self, task: str, *args: object, queue: str = "standard", org: str = "", **options: Any
    ) -> AsyncResult:
        """Publish one job of ``ledger.<task>`` and return its result handle."""
        if org:
            options["org"] = org
        return self.app.tasks[f"ledger.{task}"].apply_async(args, queue=queue, **options)

    def proxy(self) -> Proxy:
        """Return a new proxy in front of the broker."""
        proxy = Proxy(self.broker.port)
        self.proxies.append(proxy)
        return proxy

    def start_worker(
        self,
        *,
        broker_url: str = "",
        env: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Worker:
        """Start a worker and return at once; ``wait_ready`` is the caller's. ``settings`` is its QUEUEOPS."""
        options.setdefault("app", "tests.apps.ledger")
        # Without settings of its own a worker has no Django at all.
        given = {"LEDGER_SETTINGS": json.dumps(settings)} if settings else {}
        worker = Worker(
            broker_url=broker_url or self.broker.broker_url,
            ledger=self.ledger,
            folder=self.folder,
            env={**QUICK, **given, **(env or {})},
            **options,
        )
        self.workers.append(worker)
        return worker

    def worker(self, **options: Any) -> Worker:
        """Start a worker and wait until it consumes."""
        return self.start_worker(**options).wait_ready()

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The engine's view of the broker."""
        from queueops.engine.store import Store

        with self.broker.client(decode_responses=False) as client:
            yield Store(client, lease_ms=LEASE_SECONDS * 1000)

    def snapshot(self, queue: str = "standard") -> QueueSnapshot:
        with self.store() as store:
            return store.queue_snapshot(queue)

    def dead(self) -> list[DeadEntry]:
        """What lies in the broker's dead stream."""
        with self.store() as store:
            return store.dead_read(count=1000)

    def is_empty(self, *queues: str) -> bool:
        """True when the queues hold no job: none ready, none scheduled, no lease."""
        for queue in queues or ("standard",):
            seen = self.snapshot(queue)
            if seen.ready or seen.scheduled or seen.leased:
                return False
        return True

    def wait_empty(self, *queues: str, within: float = 20.0) -> None:
        """Wait until the queues hold no job: everything that was sent has ended and was settled."""
        eventually(lambda: self.is_empty(*queues), within=within, what=f"no job in {queues or 'standard'}")

    def wait_started(self, *jobs: str, within: float = 20.0) -> None:
        """Wait until each of ``jobs`` has started at least once."""
        wanted = set(jobs)

        def started() -> bool:
            return wanted <= {entry.job for entry in self.ledger.entries() if entry.event == "start"}

        eventually(started, within=within, what=f"the start of {', '.join(sorted(wanted)[:5])}")

    def wait_ended(self, *jobs: str, within: float = 20.0) -> None:
        """Wait until each of ``jobs`` has ended at least once."""
        wanted = set(jobs)
        eventually(
            lambda: wanted <= self.ledger.ended(), within=within, what=f"the end of {len(wanted)} jobs"
        )

    def close(self) -> None:
        """Kill what still runs; print the workers' logs, which pytest shows when the test has failed."""
        for worker in self.workers:
            worker.kill()
            print(f"--- {worker.hostname} ---\n{worker.log()}")
        for proxy in self.proxies:
            proxy.close()
        for app in self.apps:
            app.close()
