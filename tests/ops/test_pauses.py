"""Pauses of all queues and of one task, and a resume that opens gradually."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from celery import Celery
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from queueops.engine.store import Store
from queueops.errors import LimitInvalid
from queueops.models import AuditEntry
from queueops.ops import broker, queues, tasks
from queueops.ops.permissions import Actor
from tests.support import letters

ACTOR = Actor.shell("maria")
QUEUES = ["bulk", "critical", "standard", "webhooks"]


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def test_all_queues_are_paused_and_resumed(app: Celery, store: Store) -> None:
    for queue in QUEUES:
        letters.publish(app, queue=queue)
    until = timezone.now() + timedelta(hours=1)
    assert queues.pause_all(ACTOR, until=until, reason="the database moves") == QUEUES
    assert store.claim(QUEUES, 9, 0, "holder", 1).jobs == []
    assert {store.paused(queue)[""].reason for queue in QUEUES} == {"the database moves"}
    queues.resume(ACTOR, "bulk")
    assert queues.resume_all(ACTOR) == ["critical", "standard", "webhooks"]
    assert queues.resume_all(ACTOR) == []
    assert len(store.claim(QUEUES, 9, 0, "holder", 2).jobs) == 4
    first, *_ = AuditEntry.objects.order_by("pk")
    assert (first.verb, first.target, first.result_count) == ("pause", "all queues", 4)
    assert first.parameters == {"until": until.isoformat(), "reason": "the database moves"}


def test_a_resume_with_a_ramp_opens_gradually(app: Celery, store: Store) -> None:
    store.set_queue("bulk", concurrency=100)
    for number in range(60):
        letters.publish(app, number, queue="bulk")
    queues.pause(ACTOR, "bulk")
    assert queues.resume(ACTOR, "bulk", ramp=timedelta(seconds=600)) is True
    assert 1 <= len(store.claim(["bulk"], 60, 0, "holder", 1).jobs) <= 2
    assert AuditEntry.objects.latest("pk").parameters == {"ramp": "600 s"}
    for wrong in (timedelta(0), timedelta(days=2)):
        with pytest.raises(LimitInvalid, match="a ramp takes"):
            queues.resume(ACTOR, "bulk", ramp=wrong)


def test_a_paused_task_lets_the_others_of_its_org_pass(app: Celery, store: Store) -> None:
    for number, task in enumerate(("shop.send", "shop.bill", "shop.send", "shop.bill")):
        letters.publish(app, number, task=task, queue="bulk", org="acme")
    assert tasks.pause(ACTOR, "shop.send", reason="wrong template") == QUEUES
    assert {queue: list(found) for queue, found in tasks.paused().items()} == {
        queue: ["shop.send"] for queue in QUEUES
    }
    ran = [job.task for job in store.claim(["bulk"], 9, 0, "holder", 1).jobs]
    assert ran == ["shop.bill", "shop.bill"]
    assert tasks.resume(ACTOR, "shop.send", "bulk") == ["bulk"]
    assert tasks.resume(ACTOR, "shop.send") == ["critical", "standard", "webhooks"]
    assert tasks.paused() == {}
    claimed = store.claim(["bulk"], 9, 0, "holder", 2)
    assert [job.task for job in claimed.jobs] == ["shop.send", "shop.send"]
    assert list(AuditEntry.objects.order_by("pk").values_list("verb", "target", "result_count")) == [
        ("pause", "task shop.send in all queues", 4),
        ("resume", "task shop.send in bulk", 1),
        ("resume", "task shop.send in all queues", 3),
    ]


def test_without_the_permission_nothing_changes(app: Celery, store: Store) -> None:
    from django.contrib.auth.models import User

    nobody = Actor.of(User.objects.create_user("nobody"), AuditEntry.Surface.API)
    for refused in (
        lambda: queues.pause_all(nobody),
        lambda: queues.resume_all(nobody),
        lambda: tasks.pause(nobody, "shop.send"),
        lambda: tasks.resume(nobody, "shop.send"),
    ):
        with pytest.raises(PermissionDenied):
            refused()
    assert store.paused("bulk") == {}
    assert not AuditEntry.objects.exists()
