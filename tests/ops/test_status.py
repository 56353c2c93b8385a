"""The status of queues, with what it is made of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery import Celery

from queueops.engine.store import Store
from queueops.ops import broker, status
from queueops.ops.permissions import Actor
from tests.support import letters

ME = Actor.shell("maria")


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def test_an_empty_broker(app: Celery, store: Store) -> None:
    found = status.status(ME)

    assert {one.queue for one in found.queues} >= {"bulk", "critical", "standard"}
    assert (found.total.queue, found.total.queued, found.total.health.level) == ("", 0, "healthy")


def test_what_waits_and_runs(app: Celery, store: Store) -> None:
    for _ in range(3):
        letters.publish(app, queue="bulk")
    letters.publish(app, queue="bulk", countdown=100)
    letters.publish(app, queue="bulk", priority=1)
    letters.publish(app, queue="critical")
    letters.claim(store, "bulk")
    letters.publish(app)
    letters.die(store)

    found = status.status(ME)

    bulk = next(one for one in found.queues if one.queue == "bulk")
    assert (bulk.queued, bulk.running, bulk.scheduled, bulk.total_jobs) == (3, 1, 1, 5)
    assert bulk.priority_distribution == {"5": 3}
    assert (found.total.queued, found.total.running, found.total.dead_letters_total) == (4, 1, 1)
    assert found.total.estimated == ()
