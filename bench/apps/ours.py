"""queueops with everything on: the default middleware, fairness, leases, metrics."""

from __future__ import annotations

import os
from collections.abc import Sequence

from celery import Celery

import queueops
from bench.apps.jobs import QUEUE, event, register

app = Celery("bench", broker=f"queueops://{os.environ['BENCH_BROKER']}")
app.conf.update(task_ignore_result=True, task_default_queue=QUEUE)
queueops.install(app)
noop, nap = register(app)


def enqueue(count: int) -> None:
    """Enqueue no-op jobs one at a time."""
    for number in range(count):
        noop.delay(number)


def enqueue_events(count: int) -> None:
    """Enqueue jobs of a realistic size one at a time, for 200 orgs in turn."""
    deliver = app.tasks["bench.deliver"]
    for number in range(count):
        deliver.apply_async((number % 200, event(number)), org=f"org{number % 200}")


def schedule(count: int) -> None:
    """Enqueue no-op jobs that are due in an hour."""
    queueops.enqueue_many(noop, (queueops.Item(args=(n,)) for n in range(count)), countdown=3600)


def enqueue_many(count: int) -> None:
    """Enqueue no-op jobs in one call, each of an org of its own."""
    queueops.enqueue_many(noop, [queueops.Item(args=(n,), org=f"org{n}") for n in range(count)])


def send(org: str, sent: float, seconds: float) -> None:
    """Enqueue one sleeping job of the org."""
    nap.apply_async((org, sent, seconds), org=org)


def preload(jobs: Sequence[tuple[str, float]]) -> None:
    """Enqueue many sleeping jobs (org, seconds)."""
    queueops.enqueue_many(nap, [queueops.Item(args=(org, 0.0, seconds), org=org) for org, seconds in jobs])
