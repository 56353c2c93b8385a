"""Panic mode by hand: what it would hold, what it holds, when and how it ends, and who did it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from celery import Celery
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from queueops.engine.rules.gates import Breaker, ResourceLimits
from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.errors import InvalidResource, LimitInvalid
from queueops.models import AuditEntry
from queueops.ops import broker, panic
from queueops.ops.permissions import Actor
from tests.support import letters
from tests.support.polling import eventually

ACTOR = Actor.shell("maria")


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def publish(app: Celery, count: int, **options: str) -> None:
    for number in range(count):
        letters.publish(app, number, **{"queue": "bulk", "org": "acme", "resource": "whatsapp", **options})


def test_a_dry_run_tells_what_would_be_held_and_changes_nothing(app: Celery, store: Store) -> None:
    publish(app, 3)
    publish(app, 2, org="globex")
    publish(app, 1, queue="standard")
    publish(app, 4, resource="stripe")
    store.claim(["standard"], 1, 0, "holder", 1)
    held = panic.dry_run(ACTOR, "whatsapp")
    assert (held.jobs, held.queues, held.in_flight) == (5, {"bulk": 5}, 1)
    assert held.orgs == {"bulk": {"acme": 3, "globex": 2}}
    assert panic.status() == []
    assert not AuditEntry.objects.exists()


def test_panic_by_hand_holds_the_jobs_of_that_resource_alone(app: Celery, store: Store) -> None:
    publish(app, 2)
    publish(app, 2, resource="stripe")
    publish(app, 1, resource="")
    done = panic.on(ACTOR, "whatsapp", reason="they block us")
    assert (done.state, done.by_hand, done.by, done.reason) == ("open", True, "maria", "they block us")
    assert (done.next_at, done.held) == (None, {"bulk": 2})
    assert done.since is not None and timezone.now() - done.since < timedelta(seconds=30)
    jobs = store.claim(["bulk"], 9, 0, "holder", 1).jobs
    assert sorted(job.resource for job in jobs) == ["", "stripe", "stripe"]
    assert [one.resource for one in panic.status()] == ["whatsapp"]
    assert [one.state for one in panic.status(["stripe", "whatsapp"])] == ["closed", "open"]

    assert panic.off(ACTOR, "whatsapp") is True
    assert panic.off(ACTOR, "whatsapp") is False
    jobs = store.claim(["bulk"], 9, 0, "holder", 2).jobs
    assert [(job.resource, job.deliveries, job.attempt) for job in jobs] == [("whatsapp", 1, 0)] * 2
    assert panic.status() == []


def test_the_history_tells_who_and_why(app: Celery, store: Store) -> None:
    publish(app, 2)
    until = timezone.now() + timedelta(hours=1)
    panic.on(ACTOR, "whatsapp", until=until, reason="they block us")
    panic.off(Actor.shell("jo"), "whatsapp")
    panic.on(ACTOR, "stripe")
    assert [
        (entry.verb, entry.who, entry.parameters, entry.result_count) for entry in panic.history("whatsapp")
    ] == [
        ("panic_off", "jo", {}, 1),
        ("panic", "maria", {"until": until.isoformat(), "reason": "they block us"}, 2),
    ]
    assert len(panic.history("whatsapp", limit=1)) == 1


def test_panic_with_an_end_lets_probes_through_and_ends_by_itself(app: Celery, store: Store) -> None:
    publish(app, 9)
    until = timezone.now() + timedelta(seconds=3)
    opens = panic.on(ACTOR, "whatsapp", until=until).next_at
    assert opens is not None and abs(opens - until) <= timedelta(milliseconds=1)
    assert store.claim(["bulk"], 9, 0, "holder", 1).jobs == []
    numbers = iter(range(2, 1000))
    probes = eventually(
        lambda: store.claim(["bulk"], 9, 0, "holder", next(numbers)).jobs, within=15, what="probes"
    )
    assert timezone.now() >= until - timedelta(milliseconds=1)
    [status] = panic.status()
    assert (status.state, status.probes_out) == ("half_open", len(probes))
    assert len(probes) == Breaker().probes
    store.settle([Settlement(job.token, "succeeded", 5) for job in probes])
    assert panic.status() == []
    assert len(store.claim(["bulk"], 9, 0, "holder", next(numbers)).jobs) == 9 - len(probes)


def test_a_breaker_that_opens_by_itself_is_noted_once_each_time(app: Celery, store: Store) -> None:
    store.set_resources({"whatsapp": ResourceLimits(breaker=Breaker(min_calls=4, open_seconds=60))})
    publish(app, 6)
    jobs = store.claim(["bulk"], 4, 0, "holder", 1).jobs
    store.settle([letters.Settlement(job.token, "dead", 5, {"reason": "failed"}, True) for job in jobs])
    [status] = panic.status()
    assert (status.state, status.by_hand, status.opens) == ("open", False, 1)
    assert status.reason == "4 of 4 calls failed"
    assert status.next_at is not None
    assert panic.watch(store) == 1
    assert panic.watch(store) == 0
    [entry] = panic.history("whatsapp")
    assert (entry.who, entry.surface, entry.result_count) == ("breaker", "system", 2)
    assert entry.parameters["reason"] == "4 of 4 calls failed"
    # A panic by hand is not noted a second time.
    panic.on(ACTOR, "stripe")
    assert panic.watch(store) == 0


def test_what_cannot_be_is_refused(app: Celery, store: Store) -> None:
    from django.contrib.auth.models import User

    nobody = Actor.of(User.objects.create_user("nobody"), AuditEntry.Surface.API)
    for refused in (panic.on, panic.off, panic.dry_run):
        with pytest.raises(PermissionDenied):
            refused(nobody, "whatsapp")
        with pytest.raises(InvalidResource):
            refused(ACTOR, "no spaces")
    with pytest.raises(LimitInvalid, match="passed"):
        panic.on(ACTOR, "whatsapp", until=timezone.now() - timedelta(seconds=1))
    assert panic.status(["whatsapp"])[0].state == "closed"
    assert not AuditEntry.objects.exists()
