"""The same verbs on a real PostgreSQL, which refuses more than SQLite, locks rows, and can go away."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from celery import Celery
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from queueops.engine.rules.envelope import NewJob
from queueops.engine.rules.gates import Limits
from queueops.engine.store import Store
from queueops.models import AuditEntry, DeadLetter, OrgLimit, OutboxEntry
from queueops.ops import dead_letters, limits, publishing, relay
from queueops.ops.in_transaction import enqueue_in_transaction
from queueops.ops.permissions import Actor
from tests.support import letters
from tests.support.postgres import Postgres

ACTOR = Actor.shell("maria")


def test_values_that_postgres_refuses_do_not_stop_the_collector(app: Celery, store: Store) -> None:
    letters.publish(app, "nul \x00", float("nan"), float("inf"), "lone \ud800", 10**30, {"\x00": 1})
    odd = letters.die(store, message="broken \x00 text")
    store.enqueue("bulk", [NewJob("raw", "id", "shop." + "x" * 240, "acme", "not JSON \x00")])
    raw = letters.claim(store, "bulk")
    store.settle([letters.dead(raw, {"reason": "undecodable", "run_ms": 10**15, "error": "E" * 400})])
    letters.publish(app, "fine")
    letters.die(store)

    assert dead_letters.collect(store) == 3

    assert store.dead_size() == 0
    by_token = {letter.lease_token: letter for letter in DeadLetter.objects.all()}
    assert len(by_token) == 3
    assert by_token[odd.token].raw_message == odd.message
    assert by_token[odd.token].args == ["nul \ufffd", "nan", "inf", "lone ?", 10**30, {"\ufffd": 1}]
    assert by_token[raw.token].raw_message == "not JSON \x00"
    assert len(by_token[raw.token].error_class) == 255


def test_a_row_that_postgres_still_refuses_is_kept_bare_and_the_others_whole(
    app: Celery, store: Store
) -> None:
    # Given a column that is narrower than the collector believes
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE queueops_deadletter ALTER COLUMN worker TYPE varchar(3)")
    try:
        letters.publish(app, "odd")
        odd = letters.claim(store)
        store.settle([letters.dead(odd, {"worker": "much too long"})])
        letters.publish(app, "fine")
        fine = letters.claim(store)
        store.settle([letters.dead(fine, {"worker": "w"})])

        assert dead_letters.collect(store) == 2
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE queueops_deadletter ALTER COLUMN worker TYPE varchar(255)")

    by_token = {letter.lease_token: letter for letter in DeadLetter.objects.all()}
    assert by_token[fine.token].args == ["fine"]
    assert "refused this letter's details" in by_token[odd.token].error_message
    assert by_token[odd.token].raw_message == odd.message
    assert dead_letters.replay(ACTOR, [by_token[odd.token].pk]).count == 1


def test_letters_wait_in_the_broker_while_the_database_is_away(
    app: Celery, store: Store, postgres: Postgres
) -> None:
    letters.publish(app, "before")
    letters.die(store)
    assert dead_letters.collect(store) == 1
    letters.publish(app, "meanwhile")
    letters.die(store)
    postgres.stop()
    try:
        with pytest.raises(DatabaseError):
            dead_letters.collect(store)
        assert store.dead_size() == 1
    finally:
        postgres.start()

    assert dead_letters.collect(store) == 1

    assert [letter.args for letter in DeadLetter.objects.order_by("pk")] == [["before"], ["meanwhile"]]


def test_clicks_at_the_same_time_wait_at_the_row_and_publish_once(app: Celery, store: Store) -> None:
    for number in range(20):
        letters.publish(app, number)
        letters.die(store)
    dead_letters.collect(store)
    barrier = threading.Barrier(4)
    counts: list[int] = []

    def click() -> None:
        try:
            barrier.wait(10)
            counts.append(dead_letters.replay_matching(ACTOR, DeadLetter.objects.all(), {}).count)
        finally:
            connection.close()

    threads = [threading.Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(counts) == 20
    assert store.queue_snapshot("standard").ready == 20
    assert sum(AuditEntry.objects.values_list("result_count", flat=True)) == 20


def test_a_line_is_followed_and_purged(app: Celery, store: Store) -> None:
    letters.publish(app)
    letters.die(store)
    dead_letters.collect(store)
    first = DeadLetter.objects.get()
    dead_letters.replay(ACTOR, [first.pk])
    letters.die(store)
    dead_letters.collect(store)
    assert [letter.replay_number for letter in DeadLetter.objects.line_of(first)] == [0, 1]
    DeadLetter.objects.update(died_at=timezone.now() - timedelta(days=40))
    assert dead_letters.purge(ACTOR, DeadLetter.objects.all(), {}).count == 2


def test_the_values_of_a_column_are_found_step_by_step(store: Store) -> None:
    DeadLetter.objects.bulk_create(letters.row(org=f"org-{n % 7}") for n in range(100))
    assert DeadLetter.objects.values_of("org") == [f"org-{n}" for n in range(7)]
    assert DeadLetter.objects.values_of("org", 3) == ["org-0", "org-1", "org-2"]
    DeadLetter.objects.all().delete()
    assert DeadLetter.objects.values_of("org") == []


def test_limits_are_published_and_end(app: Celery, store: Store) -> None:
    limits.set_limit(ACTOR, "acme", "bulk", {"max_in_flight": 4})
    limits.throttle(ACTOR, "acme", "bulk", 1, timezone.now() + timedelta(hours=1))
    OrgLimit.objects.filter(valid_until__isnull=False).update(valid_until=timezone.now())
    assert publishing.expire(store) == 1
    assert store.read_limits("bulk") == {"acme": Limits(max_in_flight=4)}
    assert json.dumps(AuditEntry.objects.latest("pk").parameters) == '{"note": ""}'


def test_a_relay_waits_for_no_other_and_overtakes_none(
    app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_away_until", float("inf"))
    with transaction.atomic():
        ids = [enqueue_in_transaction("shop.note", (n,)) for n in range(2)]
    locked, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                list(OutboxEntry.objects.filter(task_id=ids[0]).select_for_update())
                locked.set()
                assert go_on.wait(20)
        finally:
            connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(20)
    assert relay.relay_all(store) == 0
    assert store.queue_snapshot("standard").ready == 0, "the second must not be there before the first"
    go_on.set()
    holder.join()
    assert relay.relay_all(store) == 2
    assert [job.task_id for job in store.claim(["standard"], 10, 0, "relay", 1).jobs] == ids
    assert not OutboxEntry.objects.exists()
