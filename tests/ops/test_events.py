"""Following what happens, and waiting for one job's end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from celery import Celery
from django.contrib.auth.models import Permission, User

from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.models import AuditEntry
from queueops.ops import broker, event_reader, events
from queueops.ops.events import Event, Stream
from queueops.ops.permissions import Actor
from tests.support import letters

ACTOR = Actor.shell("maria")
#: Longer than any of it takes on a machine that has much else to do.
SECONDS = 30.0


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened
    # The reader's threads go by themselves; the next test's broker is an empty one.
    until = time.monotonic() + SECONDS
    while event_reader.reader.is_running and time.monotonic() < until:
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def no_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_reader, "LINGER_SECONDS", 0.0)


def person(*codenames: str) -> Actor:
    user = User.objects.create_user("carl")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return Actor.of(User.objects.get(pk=user.pk), AuditEntry.Surface.API)


def read(stream: Stream, kind: str, **wanted: object) -> Event:
    """The next event of a kind, and with these fields."""
    until = time.monotonic() + SECONDS
    seen = []
    while time.monotonic() < until:
        event = stream.wait(1.0)
        if event is None:
            continue
        seen.append(event.kind)
        if event.kind == kind and all(getattr(event, name) == value for name, value in wanted.items()):
            return event
    raise AssertionError(f"no {kind} {wanted}, but {seen}")


def claim(store: Store, queue: str = "standard") -> str:
    [job] = store.claim([queue], 1, 0, "h:1:x", claim.number).jobs  # type: ignore[attr-defined]
    claim.number += 1  # type: ignore[attr-defined]
    return job.token


claim.number = 1  # type: ignore[attr-defined]


@pytest.fixture
def stream(store: Store) -> Iterator[Stream]:
    made = events.opened(ACTOR)
    read(made, "open")
    yield made
    made.close()


def test_a_follower_is_told_of_jobs_and_of_queues(app: Celery, store: Store, stream: Stream) -> None:
    job = letters.publish(app, org="acme")
    assert read(stream, "enqueued", task_id=job).org == "acme"
    token = claim(store)
    assert read(stream, "started", task_id=job).data["worker"] == "h:1:x"
    snapshot = read(stream, "snapshot", queue="standard")
    assert snapshot.data["health"]["level"] == "healthy"
    store.settle([Settlement(token, "succeeded", 12.0)])
    assert read(stream, "succeeded", task_id=job).data["run_ms"] == 12.0
    assert read(stream, "snapshot", queue="").data["queue"] == ""
