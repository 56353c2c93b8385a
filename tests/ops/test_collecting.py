"""From the broker's dead stream to rows: whole, once, and never lost on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from celery import Celery, chain
from django.db import DatabaseError, connection

from queueops.engine.rules.envelope import NewJob
from queueops.engine.store import Store
from queueops.models import DeadLetter
from queueops.ops import broker, dead_letters
from queueops.ops.permissions import Actor
from tests.support import letters


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def test_a_dead_job_becomes_a_row_with_all_that_is_known_of_it(app: Celery, store: Store) -> None:
    task_id = letters.publish(app, 5, {"token": "hush"}, org="acme", kwargs={"url": "https://x"}, priority=1)
    job = letters.die(store, message="https://hooks.example.com/in answered 503")

    assert dead_letters.collect(store) == 1

    letter = DeadLetter.objects.get()
    assert (letter.queue, letter.org, letter.task, letter.task_id) == (
        "standard",
        "acme",
        "shop.deliver",
        task_id,
    )
    assert (letter.args, letter.kwargs) == ([5, {"token": "hush"}], {"url": "https://x"})
    assert letter.raw_message == job.message
    assert (letter.reason, letter.error_class) == ("failed", "EndpointRefused")
    assert letter.error_message == "https://hooks.example.com/in answered 503"
    assert letter.traceback == letters.TRACEBACK
    assert [attempt["n"] for attempt in letter.attempts] == [1, 2, 3]
    assert letter.attempt_count == 3
    assert (letter.worker, letter.run_ms, letter.deliveries) == ("bulk@host-1", 120, 1)
    assert letter.first_enqueued_at is not None and letter.first_enqueued_at <= letter.died_at
    assert (letter.status, letter.origin_id, letter.replay_number) == ("parked", None, 0)
    assert letter.lease_token == job.token
    assert store.dead_size() == 0


def test_a_collector_that_died_before_it_trimmed_is_repeated_without_a_second_row(
    app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters.publish(app)
    letters.die(store)
    # Given rows that were written and a stream that was not trimmed
    with monkeypatch.context() as patched:
        patched.setattr(store, "dead_trim", lambda ids: 0, raising=False)
        dead_letters.collect(store)
    assert store.dead_size() == 1

    dead_letters.collect(store)

    assert DeadLetter.objects.count() == 1
    assert store.dead_size() == 0


def test_a_database_that_refuses_leaves_the_letters_in_the_broker(app: Celery, store: Store) -> None:
    letters.publish(app)
    letters.die(store)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE queueops_deadletter RENAME TO away")
    try:
        with pytest.raises(DatabaseError):
            dead_letters.collect(store)
        assert store.dead_size() == 1
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO queueops_deadletter")

    assert dead_letters.collect(store) == 1
    assert DeadLetter.objects.count() == 1


def test_the_connection_is_closed_after_each_batch(app: Celery, store: Store) -> None:
    letters.publish(app)
    letters.die(store)
    dead_letters.collect(store)
    assert connection.connection is None


def test_a_thousand_letters_are_collected_in_batches(app: Celery, store: Store) -> None:
    message = json.dumps({"body": ""})
    jobs = [NewJob(f"tag-{n}", f"id-{n}", "shop.deliver", "acme", message) for n in range(1000)]
    store.enqueue("bulk", jobs)
    for number in range(1, 100):
        found = store.claim(["bulk"], 500, 0, "holder", number).jobs
        if not found:
            break
        store.settle([letters.dead(job) for job in found])

    assert dead_letters.collect(store, limit=200) == 200
    assert dead_letters.collect_all(store) == 800
    assert DeadLetter.objects.count() == 1000
    assert store.dead_size() == 0


def test_a_message_that_nobody_can_read_is_kept_as_it_is(app: Celery, store: Store) -> None:
    store.enqueue("standard", [NewJob("tag", "id", "", "acme", "no JSON \x00 at all \u2028")])
    letters.die(store, reason="undecodable", attempt=0)
    dead_letters.collect(store)

    letter = DeadLetter.objects.get()
    assert letter.raw_message == "no JSON \x00 at all \u2028"
    assert (letter.args, letter.kwargs, letter.reason) == ([], {}, "undecodable")


def test_values_that_no_database_takes_are_shown_and_the_message_keeps_them(
    app: Celery, store: Store
) -> None:
    letters.publish(app, "nul \x00", float("nan"), "lone \ud800", 10**30)
    job = letters.die(store, message="broken \x00 text")
    dead_letters.collect(store)

    letter = DeadLetter.objects.get()
    assert letter.args == ["nul \ufffd", "nan", "lone ?", 10**30]
    assert letter.error_message == "broken \ufffd text"
    assert letter.raw_message == job.message


@pytest.mark.parametrize("run_ms", ["long", 10**30, -1])
@pytest.mark.parametrize(
    "header", ["text", {"attempts": [{"n": "x"}]}, {"replay": {"letter": 10**30, "n": []}}]
)
def test_a_header_full_of_nonsense_does_not_stop_the_collector(
    app: Celery, store: Store, header: object, run_ms: object
) -> None:
    letters.publish(app)
    message = json.loads(letters.claim(store).message)
    message["headers"]["queueops"] = header
    store.enqueue("bulk", [NewJob("odd", "id", "shop.deliver", "acme", json.dumps(message))])
    odd = letters.claim(store, "bulk")
    store.settle([letters.dead(odd, {"attempts": "none", "run_ms": run_ms})])

    assert dead_letters.collect(store) == 1

    letter = DeadLetter.objects.get()
    assert (letter.task, letter.org) == ("shop.deliver", "acme")
    assert letter.raw_message == odd.message


def test_the_death_of_a_replay_is_a_second_row_in_the_line_of_the_first(app: Celery, store: Store) -> None:
    letters.publish(app, org="acme")
    letters.die(store)
    dead_letters.collect(store)
    first = DeadLetter.objects.get()
    for _ in range(2):
        last = DeadLetter.objects.latest("pk")
        dead_letters.replay(Actor.system(), [last.pk])
        letters.die(store)
        dead_letters.collect(store)

    line = list(DeadLetter.objects.line_of(first))
    assert [letter.replay_number for letter in line] == [0, 1, 2]
    assert [letter.origin_id for letter in line] == [None, first.pk, first.pk]
    assert [letter.status for letter in line] == ["replayed", "replayed", "parked"]
    assert {letter.task_id for letter in line} == {first.task_id}
    assert list(DeadLetter.objects.line_of(line[2])) == line


def test_the_line_is_known_though_its_first_letter_was_purged(app: Celery, store: Store) -> None:
    letters.publish(app)
    letters.die(store)
    dead_letters.collect(store)
    first = DeadLetter.objects.get()
    dead_letters.replay(Actor.system(), [first.pk])
    letters.die(store)
    first.delete()

    dead_letters.collect(store)

    letter = DeadLetter.objects.get()
    assert (letter.origin_id, letter.replay_number) == (None, 1)


def test_a_chain_is_kept_with_its_letter(app: Celery, store: Store) -> None:
    chain(app.signature("shop.deliver", args=(1,)), app.signature("shop.bill", args=(2,))).apply_async()
    letters.die(store)
    dead_letters.collect(store)

    from queueops.ops import messages

    message = messages.read(DeadLetter.objects.get().raw_message)
    assert [link["task"] for link in message.embed["chain"]] == ["shop.bill"]
