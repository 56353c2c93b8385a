"""What died of which error, how often, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied

from queueops.models import AuditEntry, DeadLetter
from queueops.ops import error_groups
from queueops.ops.permissions import Actor
from tests.support import letters

ACTOR = Actor.shell("maria")


def make(fingerprint: str, *hours_ago: float, **columns: object) -> None:
    now = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
    DeadLetter.objects.bulk_create(
        letters.row(fingerprint=fingerprint * 16, died_at=now - timedelta(hours=hours), **columns)
        for hours in hours_ago
    )


def test_groups_have_counts_a_trend_and_their_newest_letter(database: None) -> None:
    make("a", 2, 0, 0, error_message="answered 503")
    make("a", 50, error_message="the first of all")
    make("b", 1, error_class="", reason="worker_lost", error_message="token=hush", queue="bulk")
    make("c", 30)
    make("a", 0, 1, status="replayed")

    first, second = error_groups.groups(ACTOR, hours=3)

    assert (first.fingerprint, first.count, first.trend) == ("a" * 16, 3, (1, 0, 2))
    assert (first.task, first.queue, first.error_class) == ("shop.deliver", "standard", "EndpointRefused")
    assert first.message == "answered 503"
    assert (first.last_died_at - first.first_died_at) == timedelta(hours=50)
    assert (second.count, second.trend, second.error_class) == (1, (0, 1, 0), "worker_lost")
    assert second.message == "token=••••••"
    assert len(error_groups.groups(ACTOR, hours=48)) == 3


def test_groups_of_a_queue_or_an_org_count_its_letters_alone(database: None) -> None:
    make("a", 0, 0)
    make("a", 1, queue="bulk", org="globex")
    make("b", 0)
    for only in ({"queue": "bulk"}, {"org": "globex"}, {"queue": "bulk", "org": "globex"}):
        [group] = error_groups.groups(ACTOR, hours=2, **only)
        assert (group.fingerprint, group.count, group.trend, group.queue) == ("a" * 16, 1, (1, 0), "bulk")
    assert error_groups.groups(ACTOR, queue="nowhere") == []


def test_the_most_frequent_come_first_and_the_rest_is_cut(database: None) -> None:
    make("a", 0)
    make("b", 0, 1, 2)
    make("c", 0, 1)
    assert [group.fingerprint[0] for group in error_groups.groups(ACTOR, limit=2)] == ["b", "c"]
    assert len(error_groups.groups(ACTOR, limit=0)) == 1


def test_the_newest_letters_say_which_groups_there_are_and_all_are_counted(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(error_groups, "LOOKED_AT", 2)
    make("a", 0, 1, 2, 3)
    make("b", 4)
    [group] = error_groups.groups(ACTOR)
    assert (group.fingerprint[0], group.count) == ("a", 4)


def test_hours_are_kept_in_their_range(database: None) -> None:
    make("a", 0)
    assert [len(group.trend) for group in error_groups.groups(ACTOR, hours=0)] == [1]
    assert [len(group.trend) for group in error_groups.groups(ACTOR, hours=10**9)] == [
        error_groups.MOST_HOURS
    ]


def test_nothing_that_died_is_no_group(database: None) -> None:
    assert error_groups.groups(ACTOR) == []


def test_without_the_permission_nothing_is_shown(database: None) -> None:
    from django.contrib.auth.models import User

    nobody = Actor.of(User.objects.create_user("nobody"), AuditEntry.Surface.API)
    with pytest.raises(PermissionDenied, match="view_deadletter"):
        error_groups.groups(nobody)
