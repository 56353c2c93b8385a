"""A broker and a database as a big installation has them, to measure what operators look at.

``python -m bench.scenes`` builds one and prints how long the looks take and what they cost the broker.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any

import redis

from bench.scale import LEASE_MS
from bench.servers import HOST, server
from queueops.engine.rules.envelope import NewJob
from queueops.engine.rules.gates import Limits
from queueops.engine.rules.priority import patience_ms
from queueops.engine.store import Store
from queueops.engine.types import Settlement

#: Parts of the waiting jobs by queue.
QUEUES = {"bulk": 0.9, "standard": 0.08, "critical": 0.02}
#: Of how many jobs one has a deadline, half of which have passed.
DEADLINES = 100
MESSAGE = "x" * 100
FILL = 10_000
ERRORS = ("Timeout", "ConnectionError", "EndpointRefused", "ValueError", "IntegrityError")


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything. A tenth of the jobs is of one org; ``closed`` ones are capped."""

    jobs: int = 1_000_000
    orgs: int = 5_000
    closed: int = 500
    scheduled: int = 50_000
    workers: int = 50
    slots: int = 10
    ended: int = 5_000
    letters: int = 200_000


QUICK = Sizes(jobs=2_000, orgs=60, closed=10, scheduled=300, workers=3, slots=4, ended=300, letters=500)


def fill_broker(store: Store, sizes: Sizes) -> None:
    """Put jobs, workers, leases and a history into an empty broker."""
    for queue in QUEUES:
        store.set_queue(queue, concurrency=sizes.workers * sizes.slots * 2)
        store.set_limits(queue, {f"org{number}": Limits(max_in_flight=0) for number in range(sizes.closed)})
    _register(store, sizes)
    _end_some(store, sizes)
    for queue, part in QUEUES.items():
        jobs = _jobs(sizes, int(sizes.jobs * part), queue)
        while step := list(islice(jobs, FILL)):
            store.enqueue(queue, step)
    later = _later(sizes, store.now_ms())
    while step := list(islice(later, FILL)):
        store.enqueue("bulk", step)
    _lease(store, sizes)


def fill_letters(sizes: Sizes) -> None:
    """Put dead letters into the database; Django is set up already."""
    from queueops.models import DeadLetter

    now = datetime.now(UTC)
    rows = (
        DeadLetter(
            queue="bulk" if number % 4 else "standard",
            org=f"org{number % sizes.orgs}",
            task=f"shop.task{number % 20}",
            task_id=f"dead-{number}",
            message=MESSAGE,
            reason="failed",
            error_class=ERRORS[number % len(ERRORS)],
            error_message=f"attempt {number} failed",
            fingerprint=f"{number % len(ERRORS):016x}",
            died_at=now - timedelta(seconds=number * 3),
            status="parked" if number % 10 else "replayed",
            lease_token=f"token-{number}",
        )
        for number in range(sizes.letters)
    )
    while step := list(islice(rows, 2_000)):
        DeadLetter.objects.bulk_create(step)


def _job(org: str, number: int, **fields: Any) -> NewJob:
    tag = str(uuid.uuid4())
    patience = patience_ms((0, 1, 5, 5, 5, 8, 10)[number % 7])
    task = f"shop.task{number % 20}"
    return NewJob(tag=tag, task_id=tag, task=task, org=org, message=MESSAGE, patience_ms=patience, **fields)


def _jobs(sizes: Sizes, number: int, queue: str) -> Iterator[NewJob]:
    now_ms = int(time.time() * 1000)
    for at in range(number):
        org = "org-big" if at % 10 == 0 else f"org{at % sizes.orgs}"
        deadline_ms = 0
        if at % DEADLINES == 0:
            deadline_ms = now_ms + (3_600_000 if at % (2 * DEADLINES) else -60_000)
        yield _job(org, at, first_ms=now_ms - 60_000, deadline_ms=deadline_ms)


def _later(sizes: Sizes, now_ms: int) -> Iterator[NewJob]:
    for at in range(sizes.scheduled):
        due_ms = now_ms + 3_600_000 + at
        yield _job(f"org{at % sizes.orgs}", at, due_ms=due_ms, attempt=int(at % 5 == 0), first_ms=now_ms)


def _register(store: Store, sizes: Sizes) -> None:
    for number in range(sizes.workers):
        info = {
            "hostname": f"host-{number}",
            "pid": 1000 + number,
            "queues": list(QUEUES),
            "slots": sizes.slots,
            "version": "1",
            "started_ms": store.now_ms(),
            "node": f"bulk@host-{number}",
        }
        store.renew(f"worker-{number}", {}, answered=0, registration=info)


def _end_some(store: Store, sizes: Sizes) -> None:
    claims = count(1)
    for done in range(0, sizes.ended, 250):
        store.enqueue("bulk", [_job(f"org{sizes.closed + at % 100}", at) for at in range(done, done + 250)])
        jobs = store.claim(["bulk"], 250, 0, "worker-0", next(claims)).jobs
        store.settle(
            Settlement(
                job.token, "dead" if at % 20 == 0 else "succeeded", 5.0 + at % 100, {"error": "Timeout"}
            )
            for at, job in enumerate(jobs)
        )
    store.client.delete(store.key("dead"))  # their rows are among the letters


def _lease(store: Store, sizes: Sizes) -> None:
    """Every slot runs a job; on the way the claims close the orgs that are at their cap."""
    for number in range(sizes.workers):
        wanted = sizes.slots
        for claim in range(1, 200):
            found = store.claim(list(QUEUES), wanted, 0, f"worker-{number}", 1_000 + claim)
            wanted -= len(found.jobs)
            if not wanted:
                break


def main() -> int:
    """Build the scene, then look at it."""
    sizes = QUICK if "--quick" in sys.argv else Sizes()
    if "--only-build" in sys.argv:
        _build(sizes)
        return 0
    with tempfile.TemporaryDirectory() as folder, server() as started:
        os.environ.update(
            DEBUG="true",
            DJANGO_SETTINGS_MODULE="config.settings",
            QUEUEOPS_BROKER_URL=f"queueops://{HOST}:{started.port}/0",
            QUEUEOPS_VAR=folder,
        )
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{Path(folder) / 'db.sqlite3'}")
        started_at = time.monotonic()
        _build(sizes)
        print(f"built in {time.monotonic() - started_at:.0f} s")
        _look()
    return 0


def _build(sizes: Sizes) -> None:
    """Fill the broker and the database of the project that the environment describes."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from queueops.ops import broker

    with broker.store() as store:
        # Not on its connection: that one gives up when a big step takes longer than a second.
        kwargs = store.client.connection_pool.connection_kwargs
        client = redis.Redis(host=kwargs["host"], port=kwargs["port"])
        fill_broker(Store(client, prefix=store.prefix, lease_ms=LEASE_MS), sizes)
    fill_letters(sizes)


def _look() -> None:
    from queueops.ops import broker, orgs, status
    from queueops.ops.permissions import Actor

    me = Actor.shell("bench")
    with broker.store() as store:
        # What a script costs the broker stands in its slow log, in microseconds.
        store.client.config_set("slowlog-log-slower-than", 0)
        looks: dict[str, Callable[[], Any]] = {
            "status": lambda: status.status(me),
            "status of one queue": lambda: status.status(me, "bulk"),
            "orgs by waiting": lambda: orgs.listed(me, limit=100),
            "orgs by share": lambda: orgs.listed(me, order="share", limit=100),
            "one org": lambda: orgs.stats(me, "org-big"),
        }
        for name, look in looks.items():
            times: list[float] = []
            store.client.slowlog_reset()
            for _ in range(7):
                before = time.perf_counter()
                look()
                times.append((time.perf_counter() - before) * 1000)
            longest = max(entry["duration"] for entry in store.client.slowlog_get(10_000))
            print(
                f"{name:22} median {statistics.median(times):7.1f} ms, first {times[0]:7.1f} ms, "
                f"longest command of the broker {longest / 1000:.1f} ms"
            )


if __name__ == "__main__":
    raise SystemExit(main())
