"""A stack on which everything has happened that a metric tells of, and a way to read what a scrape says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from celery import Celery
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from queueops.engine.rules.gates import Limits, ResourceLimits
from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.ops import broker
from tests.support import letters
from tests.support.stack import Stack
from tests.support.worker import Worker


@dataclass
class Scrape:
    """What one scrape said: sample values by name and labels, HELP and type by the name of the metric."""

    values: dict[tuple[str, tuple[tuple[str, str], ...]], float]
    helps: dict[str, tuple[str, str]]

    def get(self, name: str, **labels: str) -> float | None:
        """The value of one sample; None when there is none."""
        return self.values.get((name, tuple(sorted(labels.items()))))

    def all(self, name: str, **labels: str) -> dict[tuple[tuple[str, str], ...], float]:
        """All samples of the name that have these labels, by their labels."""
        wanted = set(labels.items())
        return {
            found: value
            for (known, found), value in self.values.items()
            if known == name and wanted <= set(found)
        }

    @property
    def names(self) -> set[str]:
        """The names of all samples."""
        return {name for name, _ in self.values}


def parsed(text: str) -> Scrape:
    """Read a scrape, strictly: a sample that comes twice is a fault."""
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    helps: dict[str, tuple[str, str]] = {}
    for family in text_string_to_metric_families(text):
        helps[family.name] = (family.type, family.documentation)
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in values, f"{key} comes twice"
            values[key] = sample.value
    return Scrape(values, helps)


@pytest.fixture
def scrape(app: Celery) -> Callable[[], Scrape]:
    """Scrape `/metrics` as Prometheus on this machine does."""

    def scraped() -> Scrape:
        answer = Client().get("/metrics")
        assert answer.status_code == 200, answer.content
        return parsed(answer.content.decode())

    return scraped


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


@dataclass
class Scene:
    """The stack, with its worker of the queue standard."""

    store: Store
    worker: Worker


@pytest.fixture
def scene(app: Celery, store: Store, stack: Stack) -> Scene:
    """A worker that has run jobs of standard and runs one; in bulk, without a worker, one of everything."""
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    worker = stack.worker(queues=("standard",), concurrency=2)
    for number in range(3):
        stack.enqueue("run", f"quick-{number}", org=f"org-{number}")
    stack.wait_empty("standard")
    stack.enqueue("hold", "long", "end of the scene", 600.0)
    stack.wait_started("long")
    store.set_limits("bulk", {"slow": Limits(rpm=1), "": Limits(weight=1)})
    store.set_queue("bulk", concurrency=50)
    store.set_resources({"mail": ResourceLimits(max_in_flight=5)})
    store.panic("sms", reason="their fault")
    for outcome in ("succeeded", "dead", "retried", "cancelled"):
        letters.publish(app, queue="bulk", org="acme")
        end(store, "bulk", outcome)
    letters.publish(app, queue="bulk", org="acme", resource="mail")
    job = letters.claim(store, "bulk")
    store.release([job.token], lost=True, detail={"error": "WorkerLost"})
    store.settle([Settlement(job.token, "succeeded", 1)])
    for _ in range(3):
        letters.publish(app, queue="bulk", org="slow")
    letters.claim(store, "bulk")
    letters.publish(app, queue="bulk", countdown=600)
    share(app, store)
    for org, run_ms in (("busy", 500.0), ("calm", 1.0)):
        letters.publish(app, queue="webhooks", org=org)
        end(store, "webhooks", "succeeded", run_ms)
    every, _ = IntervalSchedule.objects.get_or_create(every=1, period="hours")
    PeriodicTask.objects.all().delete()
    PeriodicTask.objects.create(name="hourly", task="shop.pay", interval=every)
    store.client.hset(store.key("schedule"), "hourly", 1_700_000_000_000)
    return Scene(store, worker)


def share(app: Celery, store: Store) -> None:
    """Two orgs with a backlog in critical all the while, of which twelve attempts each have ended."""
    for _ in range(13):
        for org in ("left", "right"):
            letters.publish(app, queue="critical", org=org)
    for _ in range(24):
        end(store, "critical", "succeeded", 1.0)


def end(store: Store, queue: str, outcome: str, run_ms: float = 100.0) -> None:
    """Claim the next job and end it."""
    job = letters.claim(store, queue)
    detail = {"error": "Declined", "message": "no funds"} if outcome == "dead" else None
    store.settle([Settlement(job.token, outcome, run_ms, detail)])  # type: ignore[arg-type]
