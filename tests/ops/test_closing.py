"""Discard keeps the row; purge deletes it, if it is old enough."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from django.test import override_settings
from django.utils import timezone

from queueops.engine.rules.envelope import NewJob
from queueops.engine.store import Store
from queueops.errors import RetentionRefused, UnknownParent
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import broker, dead_letters
from queueops.ops.permissions import Actor
from tests.support import letters

ACTOR = Actor.shell("maria")


def test_discard_closes_parked_letters_and_keeps_the_rows(database: None) -> None:
    DeadLetter.objects.bulk_create(
        [letters.row(), letters.row(org="other"), letters.row(status="replayed", closed_by="x")]
    )
    done = dead_letters.discard(ACTOR, DeadLetter.objects.filter(org="acme"), {"org": "acme"})
    assert done.count == 1
    assert sorted(DeadLetter.objects.values_list("org", "status", "closed_by")) == [
        ("acme", "discarded", "maria"),
        ("acme", "replayed", "x"),
        ("other", "parked", ""),
    ]
    assert dead_letters.discard(ACTOR, DeadLetter.objects.filter(org="acme"), {}).count == 0


def test_purge_refuses_all_when_some_are_younger_than_the_retention(database: None) -> None:
    old = timezone.now() - timedelta(days=31)
    DeadLetter.objects.bulk_create([letters.row(died_at=old), letters.row(), letters.row()])
    with pytest.raises(
        RetentionRefused, match="2 of these letters are younger than the retention of 30 days"
    ):
        dead_letters.purge(ACTOR, DeadLetter.objects.all(), {})
    assert DeadLetter.objects.count() == 3
    assert not AuditEntry.objects.exists()


def test_purge_deletes_what_is_old_whatever_its_status(database: None) -> None:
    old = timezone.now() - timedelta(days=31)
    DeadLetter.objects.bulk_create(
        [letters.row(died_at=old), letters.row(died_at=old, status="replayed"), letters.row()]
    )
    matching = DeadLetter.objects.died_before(dead_letters.retention_limit())
    assert dead_letters.purge(ACTOR, matching, {"age": "old"}).count == 2
    assert DeadLetter.objects.count() == 1
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.result_count, entry.who, entry.surface) == ("purge", 2, "maria", "cli")


def test_force_purges_younger_ones_and_the_log_says_so(database: None) -> None:
    DeadLetter.objects.bulk_create([letters.row() for _ in range(450)])
    assert dead_letters.purge(ACTOR, DeadLetter.objects.all(), {}, force=True).count == 450
    assert AuditEntry.objects.get().parameters == {"filter": {"force": True}}


def test_the_retention_is_a_setting(database: None) -> None:
    DeadLetter.objects.bulk_create([letters.row(died_at=timezone.now() - timedelta(days=3))])
    with override_settings(QUEUEOPS={"DEAD_LETTER_RETENTION_DAYS": 2}):
        assert dead_letters.purge(ACTOR, DeadLetter.objects.all(), {}).count == 1


def test_the_line_of_a_purged_letter_stays_without_it(database: None) -> None:
    first = letters.row(status="replayed")
    first.save()
    second = letters.row(origin=first, replay_number=1)
    second.save()
    dead_letters.purge(ACTOR, DeadLetter.objects.filter(pk=first.pk), {}, force=True)
    second.refresh_from_db()
    assert (second.origin_id, second.replay_number) == (None, 1)


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def dead_with_a_child(app: Celery, store: Store) -> DeadLetter:
    """The letter of a job that another one waits for."""
    task_id = letters.publish(app)
    letters.die(store)
    dead_letters.collect(store)
    child = NewJob("tag", "child", "shop.deliver", "acme", "{}", after=(task_id,))
    assert store.enqueue("standard", [child]) == ["blocked"]
    return DeadLetter.objects.get(task_id=task_id)


def is_known(store: Store, letter: DeadLetter) -> bool:
    """Whether a job can still wait for the letter's."""
    try:
        store.enqueue("bulk", [NewJob("t", "late", "shop.deliver", "acme", "{}", after=(letter.task_id,))])
    except UnknownParent:
        return False
    return store.cancel("late") == "cancelled"


def test_a_letter_that_jobs_wait_for_is_discarded_only_when_somebody_says_what_becomes_of_them(
    app: Celery, store: Store
) -> None:
    letter = dead_with_a_child(app, store)

    done = dead_letters.discard(ACTOR, DeadLetter.objects.all(), {})

    assert (done.count, done.refused) == (0, 1)
    assert done.refusals[0].letter == letter.pk
    assert done.refusals[0].reason.startswith("1 job waits for it.")
    assert is_known(store, letter)


@pytest.mark.parametrize("children", ["keep", "release", "cancel"])
def test_what_becomes_of_the_jobs_that_wait_for_a_discarded_one(
    app: Celery, store: Store, children: Any
) -> None:
    letter = dead_with_a_child(app, store)

    assert dead_letters.discard(ACTOR, DeadLetter.objects.all(), {}, children=children).count == 1

    claim = store.claim(["standard"], 5, 0, "w1", 1)
    assert [job.task_id for job in claim.jobs] == (["child"] if children == "release" else [])
    assert store.queue_snapshot("standard").blocked == (1 if children == "keep" else 0)
    assert not is_known(store, letter)
    assert AuditEntry.objects.latest("pk").parameters == {"filter": {"children": children}}


def test_a_purged_letter_is_forgotten_by_the_broker_too(app: Celery, store: Store) -> None:
    letter = dead_with_a_child(app, store)

    dead_letters.purge(ACTOR, DeadLetter.objects.all(), {}, force=True)

    assert not is_known(store, letter)
