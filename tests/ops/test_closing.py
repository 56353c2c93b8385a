"""Discard keeps the row; purge deletes it, if it is old enough."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from queueops.errors import RetentionRefused
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import dead_letters
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
