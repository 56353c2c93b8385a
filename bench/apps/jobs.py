"""The jobs that every platform runs: one that only counts itself, one that sleeps and records when it ran."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

import redis
from celery import Celery, Task

QUEUE = "standard"
# A record waits this long in the worker before it is sent, so that recording costs the job's slot nothing.
FLUSH_SECONDS = 0.1

counter = redis.Redis.from_url(os.environ["BENCH_COUNTER"])


class Recorder:
    """Sends the records of the jobs that ran to the counting server, from a thread of its own."""

    def __init__(self) -> None:
        self._records: list[str] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, record: list[Any]) -> None:
        """Keep one record; it is on the server within FLUSH_SECONDS."""
        with self._lock:
            self._records.append(json.dumps(record))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(FLUSH_SECONDS)
            with self._lock:
                records, self._records = self._records, []
            if records:
                counter.rpush("ran", *records)


recorder = Recorder()


def event(number: int) -> dict[str, Any]:
    """What a job of a real project is given: a few hundred bytes of JSON."""
    lines = [{"sku": f"SKU-{number + n:06}", "quantity": n, "price": "19.90"} for n in (1, 2, 3)]
    customer = {"id": number, "email": f"customer{number}@example.com", "country": "DE"}
    order = {
        "id": 100_000 + number,
        "customer": customer,
        "lines": lines,
        "total": "119.40",
        "currency": "EUR",
    }
    return {"id": f"evt_{number:012}", "type": "order.paid", "at": "2026-11-22T05:00:00Z", "data": order}


def register(app: Celery) -> tuple[Task, Task]:
    """Register the jobs on the app; return (noop, nap), which `deliver` is none of: no worker runs it."""

    @app.task(name="bench.noop")
    def noop(number: int) -> None:
        counter.incr("done")

    # Times are of the monotonic clock, which all processes of a machine share.
    @app.task(name="bench.nap", bind=True)
    def nap(self: Task, org: str, sent: float, seconds: float) -> None:
        start = time.monotonic()
        time.sleep(seconds)
        end = time.monotonic()
        claimed_ms = (self.request.delivery_info or {}).get("claimed_ms", 0)
        recorder.add([org, sent, start, end, claimed_ms, os.getpid()])

    @app.task(name="bench.deliver")
    def deliver(endpoint: int, event: dict[str, Any]) -> None:
        """Wait in the broker."""

    return noop, nap
