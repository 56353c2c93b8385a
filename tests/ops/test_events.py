"""Following what happens, and waiting for one job's end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from celery import Celery
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied
from django.test import override_settings

from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.errors import TooManyStreams, UnknownJob, UnknownQueue
from queueops.models import AuditEntry
from queueops.ops import broker, event_reader, events
from queueops.ops.events import Event, Stream
from queueops.ops.listening import Listener
from queueops.ops.masking import MASK
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


def end(store: Store, token: str, outcome: Any = "succeeded") -> None:
    store.settle([Settlement(token, outcome, 12.0, {"reason": "failed", "error": "Refused"})])


@pytest.fixture
def stream(store: Store) -> Iterator[Stream]:
    made = events.opened(ACTOR)
    read(made, "open")
    yield made
    made.close()


def test_a_follower_is_told_of_jobs_and_of_queues(app: Celery, store: Store, stream: Stream) -> None:
    job = letters.publish(app, org="acme")
    assert read(stream, "enqueued", task_id=job).org == "acme"
    token = letters.claim(store).token
    assert read(stream, "started", task_id=job).data["worker"].startswith("holder-")
    snapshot = read(stream, "snapshot", queue="standard")
    assert snapshot.data["health"]["level"] == "healthy"
    end(store, token)
    assert read(stream, "succeeded", task_id=job).data["run_ms"] == 12.0
    assert read(stream, "snapshot", queue="").data["queue"] == ""


def test_messages_have_their_secrets_masked(app: Celery, store: Store, stream: Stream) -> None:
    task_id = letters.publish(app)
    letters.die(store, error="Refused", message="answered no to token=hush")
    dead = read(stream, "dead", task_id=task_id)
    assert dead.data["message"] == f"answered no to token={MASK}"


def test_filters_leave_out_what_is_others(app: Celery, store: Store) -> None:
    stream = events.opened(ACTOR, queue="bulk", org="acme")
    read(stream, "open")
    letters.publish(app, org="acme")
    letters.publish(app, org="beta", queue="bulk")
    job = letters.publish(app, org="acme", queue="bulk")
    assert read(stream, "enqueued").task_id == job
    assert read(stream, "snapshot").queue == "bulk"
    stream.close()


def test_who_looks_at_queues_alone_has_the_broker_tell_of_no_job(app: Celery, store: Store) -> None:
    stream = events.opened(ACTOR, only="snapshots")
    read(stream, "snapshot")
    letters.publish(app)
    read(stream, "snapshot", queue="")
    read(stream, "snapshot", queue="")
    assert not store.client.exists(store.key("listening"), store.key("events"))

    jobs = events.opened(ACTOR, only="jobs")
    read(jobs, "open")
    job = letters.publish(app)
    assert read(jobs, "enqueued").task_id == job
    stream.close()
    jobs.close()


def test_a_follower_goes_on_where_it_was(app: Celery, store: Store, stream: Stream) -> None:
    first = letters.publish(app)
    known = read(stream, "enqueued", task_id=first)
    stream.close()
    missed = [letters.publish(app) for _ in range(5)]

    again = events.opened(ACTOR, last_id=known.id)
    read(again, "open")
    assert [read(again, "enqueued").task_id for _ in missed] == missed
    last = letters.publish(app)
    assert read(again, "enqueued").task_id == last
    again.close()


def test_who_knows_what_is_gone_is_told_of_the_gap(app: Celery, store: Store, stream: Stream) -> None:
    again = events.opened(ACTOR, last_id="17-0")
    read(again, "gap")
    read(again, "snapshot")
    again.close()


def test_a_broker_that_has_lost_its_events_leaves_a_gap(app: Celery, store: Store, stream: Stream) -> None:
    letters.publish(app)
    read(stream, "enqueued")
    store.client.flushall()
    read(stream, "gap")
    job = letters.publish(app)
    assert read(stream, "enqueued").task_id == job


def test_a_slow_listener_is_given_up_and_holds_up_nobody(app: Celery, store: Store, stream: Stream) -> None:
    slow = events.opened(ACTOR, only="jobs", limit=3)
    read(slow, "open")
    jobs = [letters.publish(app) for _ in range(8)]
    assert [read(stream, "enqueued").task_id for _ in jobs] == jobs

    read(slow, "gap")
    assert slow.is_over
    assert slow.wait(0.1) is None


def test_a_listener_keeps_the_order_and_wakes_whoever_waits() -> None:
    listener = Listener(limit=100)
    got: list[Event] = []

    def listen() -> None:
        while len(got) < 50:
            event = listener.wait(SECONDS)
            assert event is not None
            got.append(event)

    thread = threading.Thread(target=listen)
    thread.start()
    sent = [events.Event(f"{n}-0", "enqueued", datetime.now(UTC), "job") for n in range(50)]
    for event in sent:
        listener.offer([event])
    thread.join(SECONDS)
    assert got == sent
    assert listener.wait(0.01) is None


def test_it_can_be_followed_without_standing_still(app: Celery, store: Store) -> None:
    async def follow() -> list[str]:
        kinds = []
        async for event in events.follow(ACTOR, queue="standard", timeout=SECONDS):
            kinds.append(event.kind)
            if event.kind == "open":
                await asyncio.to_thread(letters.publish, app)
            if event.kind == "enqueued":
                break
        return kinds

    kinds = asyncio.run(follow())
    assert kinds[0] == "open"
    assert kinds[-1] == "enqueued"


def test_it_ends_after_its_time(app: Celery, store: Store) -> None:
    async def follow() -> list[str]:
        return [event.kind async for event in events.follow(ACTOR, timeout=3.0)]

    asyncio.run(follow())
    assert event_reader.reader.count() == 0


def test_a_process_has_so_many_streams(app: Celery, store: Store) -> None:
    with override_settings(QUEUEOPS={"EVENT_STREAMS": 2}):
        opened = [events.opened(ACTOR) for _ in range(2)]
        with pytest.raises(TooManyStreams) as raised:
            events.opened(ACTOR)
        assert raised.value.retry_after > 0
        opened.pop().close()
        opened.append(events.opened(ACTOR))
    for stream in opened:
        stream.close()


def test_what_one_may_see_decides_what_one_is_told(app: Celery, store: Store) -> None:
    nobody = person()
    with pytest.raises(PermissionDenied):
        events.opened(nobody)
    with pytest.raises(UnknownQueue):
        events.opened(ACTOR, queue="standrad")
    User.objects.all().delete()
    operator = person("view_operations")
    with pytest.raises(PermissionDenied):
        events.opened(operator, task_id="x")
    stream = events.opened(operator)
    read(stream, "open")
    letters.publish(app)
    for _ in range(3):
        event = stream.wait(SECONDS)
        assert event is not None
        assert event.kind == "snapshot"
    stream.close()
    User.objects.all().delete()
    stream = events.opened(person("view_jobs"))
    read(stream, "open")
    letters.publish(app)
    event = stream.wait(SECONDS)
    assert event is not None
    assert event.kind == "enqueued"
    stream.close()


# wait_for


@pytest.mark.parametrize("outcome", ["succeeded", "dead", "cancelled"])
def test_the_end_of_a_job_is_waited_for(app: Celery, store: Store, outcome: str) -> None:
    job = letters.publish(app, org="acme")
    token = letters.claim(store).token
    timer = threading.Timer(1.0, lambda: end(store, token, outcome))
    timer.start()
    info = events.wait_for(ACTOR, job, SECONDS)
    timer.join()
    assert (info.task_id, info.state, info.task, info.org) == (job, outcome, "shop.deliver", "acme")


def test_a_job_that_was_over_before_is_known_at_once(app: Celery, store: Store) -> None:
    job = letters.publish(app)
    end(store, letters.claim(store).token)
    assert events.wait_for(ACTOR, job, SECONDS).state == "succeeded"


def test_a_job_that_is_not_over_in_time_is_told_as_it_is(app: Celery, store: Store) -> None:
    job = letters.publish(app)
    info = events.wait_for(ACTOR, job, 0.5)
    assert (info.task_id, info.state) == (job, "ready")


def test_a_retry_is_not_the_end(app: Celery, store: Store) -> None:
    job = letters.publish(app)
    token = letters.claim(store).token
    stream = events.opened(ACTOR, task_id=job)
    read(stream, "open")
    assert read(stream, "snapshot", task_id=job).data["state"] == "leased"
    store.release([token])
    read(stream, "released", task_id=job)
    stream.close()
    assert events.wait_for(ACTOR, job, 0.5).state == "ready"


def test_a_job_that_nobody_knows_is_not_waited_for(app: Celery, store: Store) -> None:
    with pytest.raises(UnknownJob):
        events.wait_for(ACTOR, "nobody", SECONDS)
    with pytest.raises(PermissionDenied):
        events.wait_for(person("view_operations"), "nobody", SECONDS)
