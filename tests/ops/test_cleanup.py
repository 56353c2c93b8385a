"""What is past its retention goes, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from django.core.exceptions import PermissionDenied
from django.test import override_settings
from django.utils import timezone

from queueops.errors import RetentionRefused
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import broker, cleanup
from queueops.ops.permissions import Actor
from tests.support import letters

ACTOR = Actor.shell("maria")


def ago(**length: float) -> Any:
    return timezone.now() - timedelta(**length)


@pytest.fixture
def results(database: None) -> Iterator[Any]:
    """Ten results of tasks and of groups, done 1 to 10 days ago."""
    from django_celery_results.models import GroupResult, TaskResult

    for days in range(1, 11):
        TaskResult.objects.create(task_id=f"job-{days:02}")
        GroupResult.objects.create(group_id=f"group-{days:02}")
        # The column is written by the model itself on every save.
        TaskResult.objects.filter(task_id=f"job-{days:02}").update(date_done=ago(days=days))
        GroupResult.objects.filter(group_id=f"group-{days:02}").update(date_done=ago(days=days))
    yield TaskResult
    TaskResult.objects.all().delete()
    GroupResult.objects.all().delete()


def test_each_table_has_its_own_retention(app: Celery, results: Any) -> None:
    app.conf.result_expires = timedelta(days=7, hours=-1)
    for status in ("parked", "replayed", "discarded"):
        DeadLetter.objects.bulk_create(
            letters.row(died_at=ago(days=days), status=status) for days in (29, 31, 200)
        )
    AuditEntry.objects.bulk_create(
        AuditEntry(at=ago(days=days), who="x", verb="y", target="z", surface="cli")
        for days in (364, 366, 400)
    )

    counted = cleanup.cleanup(ACTOR, dry_run=True)
    assert results.objects.count() == 10 and not AuditEntry.objects.filter(verb="cleanup").exists()
    cleaned = cleanup.cleanup(ACTOR)

    assert cleaned == counted, "a rehearsal counts what goes"
    assert cleaned.by_table == {"results": 4, "group results": 4, "dead letters": 4, "audit entries": 2}
    assert (cleaned.count, cleaned.more) == (14, False)
    assert results.objects.count() == 6
    assert DeadLetter.objects.filter(status="parked").count() == 3, "nobody has decided about them"
    assert DeadLetter.objects.exclude(status="parked").count() == 2
    entry = AuditEntry.objects.latest("pk")
    assert (entry.who, entry.verb, entry.result_count, entry.parameters) == ("maria", "cleanup", 14, {})
    assert cleanup.cleanup(ACTOR).count == 0
    assert AuditEntry.objects.count() == 2, "what deleted nothing leaves no entry"


def test_days_stand_above_the_retentions_but_not_that_of_the_audit_log(app: Celery, results: Any) -> None:
    app.conf.result_expires = None
    DeadLetter.objects.bulk_create([letters.row(died_at=ago(days=4), status="replayed")])
    AuditEntry.objects.create(at=ago(days=4), who="x", verb="y", target="z", surface="cli")

    assert cleanup.cleanup(ACTOR).count == 0
    cleaned = cleanup.cleanup(ACTOR, days=3)

    assert cleaned.by_table == {"results": 8, "group results": 8, "dead letters": 1}
    assert AuditEntry.objects.latest("pk").parameters == {"days": 3}
    with override_settings(QUEUEOPS={"AUDIT_RETENTION_DAYS": 2}):
        assert cleanup.cleanup(ACTOR).by_table == {"audit entries": 1}
    with override_settings(QUEUEOPS={"AUDIT_RETENTION_DAYS": None, "DEAD_LETTER_RETENTION_DAYS": 2}):
        assert cleanup.cleanup(ACTOR).by_table == {}


@pytest.mark.parametrize("days", [0, -1, 366])
def test_days_out_of_their_range_delete_nothing(results: Any, days: int) -> None:
    with pytest.raises(RetentionRefused, match="from 1 to 365"):
        cleanup.cleanup(ACTOR, days)
    assert results.objects.count() == 10


def test_a_rehearsal_does_not_count_for_ever(
    results: Any, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "COUNTED", 3)
    counted = cleanup.cleanup(ACTOR, days=2, dry_run=True)
    assert (counted.by_table, counted.more) == ({"results": 3, "group results": 3}, True)
    assert results.objects.count() == 10


def test_it_needs_its_permission(results: Any) -> None:
    from django.contrib.auth.models import Permission, User

    user = User.objects.create_user("anna")
    actor = Actor.of(user, AuditEntry.Surface.ADMIN)
    with pytest.raises(PermissionDenied, match=r"queueops\.cleanup"):
        cleanup.cleanup(actor, 5)
    user.user_permissions.add(Permission.objects.get(codename="cleanup"))
    assert cleanup.cleanup(Actor.of(User.objects.get(), AuditEntry.Surface.ADMIN), 5).count == 12


def test_it_stops_when_its_time_is_over_and_goes_on(
    results: Any, app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.conf.result_expires = timedelta(hours=1)
    monkeypatch.setattr(cleanup, "FIRST_STEP", 3)
    assert cleanup.cleanup(ACTOR, seconds=0).more

    assert cleanup.cleanup(ACTOR).count == 20


def test_the_line_of_a_letter_outlives_its_first(database: None) -> None:
    first, last = letters.row(status="replayed", died_at=ago(days=90)), letters.row(replay_number=1)
    first.save()
    last.origin = first
    last.save()

    assert cleanup.cleanup(ACTOR).count == 1

    last.refresh_from_db()
    assert last.origin is None and last.replay_number == 1


def test_celerys_own_cleanup_still_works(app: Celery, results: Any) -> None:
    app.conf.result_backend = "django-db"
    app.conf.result_expires = timedelta(days=5, hours=-1)

    app.tasks["celery.backend_cleanup"]()

    assert results.objects.count() == 4


def test_the_chore_cleans_up_and_leaves_an_entry_only_when_it_did(app: Celery, results: Any) -> None:
    app.conf.result_expires = timedelta(days=5, hours=-1)
    with broker.store() as store:
        cleanup.chore(store)
        cleanup.chore(store)

    assert results.objects.count() == 4
    entry = AuditEntry.objects.get()
    assert (entry.who, entry.surface, entry.result_count) == ("cleanup", "system", 12)
