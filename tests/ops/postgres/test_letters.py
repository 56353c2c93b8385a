"""Letters on a real PostgreSQL: pages, groups and files give what they give on SQLite, along indexes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from django.db import connection
from django.test.utils import CaptureQueriesContext

from queueops.engine.rules.envelope import NewJob
from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.models import DeadLetter
from queueops.ops import (
    dead_letters,
    error_groups,
    guarded_replay,
    letter_files,
    letter_list,
)
from queueops.ops.guarded_replay import Verdict
from queueops.ops.permissions import Actor
from tests.support import letters

ACTOR = Actor.shell("maria")
ROWS, ERRORS = 20_000, 40


@pytest.fixture
def many(store: Store) -> Iterator[None]:
    """20,000 letters of the last 22 hours, made by the database itself."""
    letters.row(died_at=datetime.now(UTC)).save()
    columns = [field.column for field in DeadLetter._meta.local_fields if not field.primary_key]
    made = {
        "lease_token": "'t' || n",
        "task_id": "'t' || n",
        "died_at": "died_at - n * interval '4 seconds'",
        "fingerprint": f"lpad((n %% {ERRORS})::text, 16, '0')",
        "org": "'org-' || n %% 50",
        "error_message": "CASE WHEN n %% 5000 = 0 THEN 'Gateway TIMEOUT' ELSE 'refused' END",
    }
    values = ", ".join(made.get(name, f'"{name}"') for name in columns)
    names = ", ".join(f'"{name}"' for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO queueops_deadletter ({names}) SELECT {values} FROM queueops_deadletter, "
            f"generate_series(1, {ROWS - 1}) n",
            [],
        )
        cursor.execute("VACUUM ANALYZE queueops_deadletter")
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE queueops_deadletter CASCADE")


def plans(queries: list[dict[str, str]]) -> list[str]:
    found = []
    for query in queries:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN " + query["sql"].replace("%", "%%"), [])
            found.append("\n".join(row[0] for row in cursor.fetchall()))
    return found


def test_pages_and_groups_of_many_letters_read_along_indexes(many: None) -> None:
    with CaptureQueriesContext(connection) as captured:
        first = letter_list.listed(ACTOR, limit=50)
        second = letter_list.listed(ACTOR, limit=50, before=first.next_cursor)
        letter_list.listed(ACTOR, org="org-7", limit=50)
        groups = error_groups.groups(ACTOR, hours=24)
    # Which groups there are is asked of all letters of the time: here that is the whole table.
    told = [plan for plan in plans(captured.captured_queries) if "Group Key" not in plan]
    assert len(told) == len(captured) - 1
    assert not [plan for plan in told if "Seq Scan on queueops_deadletter" in plan], told
    assert len({row.id for row in (*first.letters, *second.letters)}) == 100
    assert len(groups) == ERRORS + 1 and sum(group.count for group in groups) == ROWS
    assert {sum(group.trend) for group in error_groups.groups(ACTOR, org="org-7", hours=24)} == {100}
    found: list[letter_list.LetterRow] = []
    cursor: str | None = ""
    while cursor is not None:
        page = letter_list.listed(ACTOR, error="timeout", limit=2, before=cursor)
        found += page.letters
        cursor = page.next_cursor
    assert [row.error_message for row in found] == ["Gateway TIMEOUT"] * 3


def test_what_postgres_does_not_even_take_as_a_question_finds_nothing(store: Store) -> None:
    letters.row().save()
    for name in ("org", "error", "text"):
        assert letter_list.listed(ACTOR, **{name: "a\x00b"}).letters == ()


def test_letters_travel_in_files_byte_for_byte(app: Celery, store: Store) -> None:
    letters.publish(app, "nul \x00", float("nan"), {"umlaut": "ü"})
    letters.die(store)
    store.enqueue("bulk", [NewJob("raw", "id", "shop.gone", "acme", "not JSON \x00")])
    raw = letters.claim(store, "bulk")
    store.settle([letters.dead(raw, {"reason": "undecodable"})])
    dead_letters.collect(store)
    before = dict(DeadLetter.objects.values_list("lease_token", "message"))
    lines: list[str] = []
    assert letter_files.export(ACTOR, DeadLetter.objects.all(), {}, lines.append) == 2  # type: ignore[arg-type]
    DeadLetter.objects.all().delete()
    done = letter_files.import_lines(ACTOR, [*lines, *lines, "no"])
    assert (done.count, done.known, done.refused) == (2, 2, 1)
    assert dict(DeadLetter.objects.values_list("lease_token", "message")) == before
    assert DeadLetter.objects.get(lease_token=raw.token).raw_message == "not JSON \x00"


def test_a_guarded_replay_marks_the_letters_of_its_jobs(
    app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_replay, "POLL_SECONDS", 0.01)
    for number in range(5):
        letters.publish(app, number)
        letters.die(store)
    dead_letters.collect(store)

    def work(seen: Any) -> None:
        for job in store.claim(["standard"], 50, 0, "worker", 1).jobs:
            assert store.settle([Settlement(job.token, "succeeded", 1.0)]) == ["settled"]

    matching, described = letter_list.matching(queue="standard")
    done = guarded_replay.replay_guarded(ACTOR, matching, described, canary=2, progress=work)
    assert (done.verdict, done.count, done.canary_succeeded) == (Verdict.FINISHED, 5, 2)
    assert not DeadLetter.objects.parked().exists()


def test_the_newest_death_of_an_error_is_told_with_its_zone(store: Store) -> None:
    now = datetime.now(UTC)
    DeadLetter.objects.bulk_create(letters.row(died_at=now - timedelta(minutes=n)) for n in range(3))
    [group] = error_groups.groups(ACTOR, hours=2)
    assert (group.last_died_at, group.first_died_at, group.count) == (now, now - timedelta(minutes=2), 3)
