"""A letter becomes a job again: once, fresh, and with its line behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery, chain
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone

from queueops.engine.rules.envelope import NewJob
from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.errors import BrokerUnavailable, ReplayRefused
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import broker, dead_letters, editing, messages
from queueops.ops.masking import MASK
from queueops.ops.permissions import Actor
from queueops.ops.replay import job_of
from queueops.transport.adoption import adopt
from tests.support import letters, site
from tests.support.valkey import Valkey

ACTOR = Actor.shell("maria")


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def dead_one(app: Celery, store: Store, *args: object, **options: object) -> DeadLetter:
    """One collected letter of one job."""
    letters.publish(app, *args, **options)
    letters.die(store)
    dead_letters.collect(store)
    return DeadLetter.objects.latest("pk")


def test_a_replayed_job_starts_afresh_with_what_it_carried(app: Celery, store: Store) -> None:
    expires = timezone.now() + timedelta(hours=1)
    letter = dead_one(
        app, store, 5, org="acme", kwargs={"a": [1]}, priority=1, expires=expires, headers={"mine": "kept"}
    )
    before = messages.read(letter.raw_message)

    assert dead_letters.replay(ACTOR, [letter.pk]).count == 1

    job = letters.claim(store)
    after = messages.read(job.message)
    assert (after.args, after.kwargs, after.embed) == (before.args, before.kwargs, before.embed)
    assert (after.headers["retries"], after.headers["expires"], after.headers["eta"]) == (0, None, None)
    assert after.headers["mine"] == "kept"
    assert "attempts" not in after.own
    assert after.own["replay"] == {"letter": letter.pk, "n": 1, "origin": letter.task_id}
    assert (after.own["priority"], after.own["first"]) == (1, before.own["first"])
    assert (job.org, job.task_id, job.attempt, job.deliveries) == ("acme", letter.task_id, 0, 1)
    letter.refresh_from_db()
    assert (letter.status, letter.closed_by) == ("replayed", "maria")
    assert letter.closed_at is not None


def test_a_second_click_finds_nothing_to_replay(app: Celery, store: Store) -> None:
    letter = dead_one(app, store)
    assert dead_letters.replay(ACTOR, [letter.pk]).count == 1
    assert dead_letters.replay(ACTOR, [letter.pk]).count == 0
    assert store.queue_snapshot("standard").ready == 1


def test_two_clicks_at_the_same_time_publish_once(app: Celery, store: Store) -> None:
    letter = dead_one(app, store)
    barrier = threading.Barrier(4)
    counts: list[int] = []

    def click() -> None:
        try:
            barrier.wait(10)
            counts.append(dead_letters.replay(ACTOR, [letter.pk]).count)
        finally:
            connection.close()

    threads = [threading.Thread(target=click) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(counts) == [0, 0, 0, 1]
    assert store.queue_snapshot("standard").ready == 1


def test_a_crash_between_publish_and_commit_is_repeated_without_a_second_job(
    app: Celery, store: Store
) -> None:
    letter = dead_one(app, store)
    # Given the job of a replay whose transaction was lost, even one that has run since
    job, _ = job_of(letter)
    assert store.enqueue("standard", [job]) == ["ready"]
    ran = letters.claim(store)
    store.settle([letters.Settlement(ran.token, "succeeded", 1.0)])

    assert dead_letters.replay(ACTOR, [letter.pk]).count == 1

    letter.refresh_from_db()
    assert letter.status == "replayed"
    assert store.queue_snapshot("standard").ready == 0


def test_with_the_broker_away_letters_stay_parked(database: None) -> None:
    server = Valkey()
    with site.celery_app(server.broker_url) as app:
        with broker.store() as store:
            letter = dead_one(app, store)
        server.close()
        with pytest.raises(BrokerUnavailable):
            dead_letters.replay(ACTOR, [letter.pk])
    letter.refresh_from_db()
    assert (letter.status, letter.closed_at) == ("parked", None)


def test_a_full_broker_refuses_and_letters_stay_parked(app: Celery, store: Store, valkey: Valkey) -> None:
    letter = dead_one(app, store)
    valkey.fill()
    try:
        with pytest.raises(BrokerUnavailable, match="memory is full"):
            dead_letters.replay(ACTOR, [letter.pk])
    finally:
        valkey.limit_memory(0)
    letter.refresh_from_db()
    assert letter.status == "parked"
    assert dead_letters.replay(ACTOR, [letter.pk]).count == 1


@pytest.mark.parametrize("reason", ["undecodable", "unknown_task"])
def test_a_message_that_nobody_could_run_is_replayed_byte_by_byte(
    app: Celery, store: Store, reason: str
) -> None:
    raw = '{"body":  "spaces and\\u0000order stay", "headers": {"x": 1.0}}'
    store.enqueue("standard", [NewJob("tag", "id-1", "shop.gone", "acme", raw, resource="stripe")])
    letters.die(store, reason=reason, attempt=0)
    dead_letters.collect(store)

    assert dead_letters.replay(ACTOR, [DeadLetter.objects.get().pk]).count == 1

    job = letters.claim(store)
    assert job.message == raw
    assert (job.task, job.task_id, job.org, job.resource) == ("shop.gone", "id-1", "acme", "stripe")
    # Its lineage is in its tag alone, and survives.
    store.settle([letters.dead(job)])
    dead_letters.collect(store)
    assert DeadLetter.objects.latest("pk").replay_number == 1


def test_a_letter_that_cannot_be_read_is_refused_and_the_others_are_replayed(
    app: Celery, store: Store
) -> None:
    good = dead_one(app, store)
    bad = letters.row()
    bad.save()

    done = dead_letters.replay(ACTOR, [good.pk, bad.pk])

    assert (done.count, done.refused) == (1, 1)
    assert done.refusals[0].letter == bad.pk
    bad.refresh_from_db()
    assert bad.status == "parked"


def test_a_chain_goes_on_after_its_replayed_member(app: Celery, store: Store) -> None:
    chain(app.signature("shop.deliver", args=(1,)), app.signature("shop.bill", args=(2,))).apply_async()
    letters.die(store)
    dead_letters.collect(store)
    dead_letters.replay(ACTOR, [DeadLetter.objects.get().pk])
    replayed = messages.read(letters.claim(store).message)
    assert [link["task"] for link in replayed.embed["chain"]] == ["shop.bill"]


def test_a_member_of_a_chord_runs_alone_and_the_answer_says_so(app: Celery, store: Store) -> None:
    body = app.signature("shop.total")
    member = app.signature("shop.deliver", args=(1,))
    member.set(chord=body).apply_async(queue="standard")
    letters.die(store)
    dead_letters.collect(store)
    assert messages.read(DeadLetter.objects.get().raw_message).in_chord

    done = dead_letters.replay(ACTOR, [DeadLetter.objects.get().pk])

    assert (done.count, done.alone) == (1, 1)
    assert not messages.read(letters.claim(store).message).in_chord


def test_everything_that_matches_is_replayed_oldest_first_and_in_pieces(app: Celery, store: Store) -> None:
    for number in range(7):
        letters.publish(app, number, org="acme" if number % 2 else "other")
        letters.die(store)
    dead_letters.collect(store)
    matching = DeadLetter.objects.filter(org="acme")

    done = dead_letters.replay_matching(ACTOR, matching, {"org": "acme"})

    assert (done.count, done.after, done.stopped) == (3, None, "")
    played = [messages.read(letters.claim(store, number=n).message).args for n in range(1, 4)]
    assert played == [[1], [3], [5]]
    assert DeadLetter.objects.parked().count() == 4
    entry = AuditEntry.objects.latest("pk")
    assert (entry.verb, entry.result_count, entry.parameters) == ("replay", 3, {"filter": {"org": "acme"}})


def test_a_piece_says_where_to_go_on_and_the_next_one_does(
    app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        letters.publish(app, number)
        letters.die(store)
    dead_letters.collect(store)
    pages = dead_letters.pages
    monkeypatch.setattr(dead_letters, "pages", lambda matching, after: pages(matching, after, size=2))

    everything, counts, after = DeadLetter.objects.all(), [], None
    while True:
        done = dead_letters.replay_matching(ACTOR, everything, {}, after=after, seconds=0)
        counts.append(done.count)
        after = done.after
        if after is None:
            break

    assert counts == [2, 2, 1]
    assert store.queue_snapshot("standard").ready == 5


def test_jobs_that_die_again_do_not_make_the_walk_endless(
    app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        letters.publish(app, number)
        letters.die(store)
    dead_letters.collect(store)
    pages, replay_batch = dead_letters.pages, dead_letters.replay_batch
    monkeypatch.setattr(dead_letters, "pages", lambda matching, after: pages(matching, after, size=1))

    def dying(*args: Any) -> Any:
        batch = replay_batch(*args)
        letters.die(store)
        dead_letters.collect(store)
        return batch

    monkeypatch.setattr(dead_letters, "replay_batch", dying)
    done = dead_letters.replay_matching(ACTOR, DeadLetter.objects.all(), {})
    assert (done.count, done.after) == (3, None)
    assert DeadLetter.objects.parked().count() == 3


def test_a_letter_that_is_refused_does_not_make_the_walk_endless(app: Celery, store: Store) -> None:
    DeadLetter.objects.bulk_create(letters.row() for _ in range(450))
    done = dead_letters.replay_matching(ACTOR, DeadLetter.objects.all(), {})
    assert (done.count, done.refused, len(done.refusals)) == (0, 450, 20)


def test_edited_arguments_are_published_and_the_letter_keeps_its_own(app: Celery, store: Store) -> None:
    letter = dead_one(app, store, 5, kwargs={"url": "https://old", "token": "hush", "n": 1})
    args, kwargs = editing.shown(letter)
    assert "hush" not in kwargs

    edit = editing.prepare(letter, args, kwargs.replace("https://old", "https://new"))
    dead_letters.edit_and_replay(ACTOR, letter.pk, edit.arguments)

    replayed = messages.read(letters.claim(store).message)
    assert (replayed.args, replayed.kwargs) == ([5], {"url": "https://new", "token": "hush", "n": 1})
    assert "https://new" in replayed.headers["kwargsrepr"]
    letter.refresh_from_db()
    assert letter.kwargs["url"] == "https://old"
    assert [(line.kind, line.text) for line in edit.lines if line.kind in ("removed", "added")] == [
        ("removed", '  "url": "https://old",'),
        ("added", '  "url": "https://new",'),
    ]
    entry = AuditEntry.objects.latest("pk")
    assert (entry.verb, entry.target) == ("edit_and_replay", f"letter {letter.pk}")
    assert "hush" not in json.dumps(entry.parameters)


def test_a_mask_that_is_sent_back_means_the_value_of_the_letter(app: Celery, store: Store) -> None:
    letter = dead_one(app, store, kwargs={"token": "hush", "n": 1})
    with pytest.raises(ReplayRefused, match="hides a value only where it was shown"):
        dead_letters.edit_and_replay(ACTOR, letter.pk, ([], {"key": MASK}))
    dead_letters.edit_and_replay(ACTOR, letter.pk, ([], {"token": MASK, "n": 2}))
    assert messages.read(letters.claim(store).message).kwargs == {"token": "hush", "n": 2}


@pytest.mark.parametrize("lacking", ["view_payload", "edit_deadletter", "replay_deadletter"])
def test_who_edits_must_be_allowed_to_see_to_edit_and_to_replay(
    app: Celery, store: Store, lacking: str
) -> None:
    from django.contrib.auth.models import Permission, User

    letter = dead_one(app, store)
    user = User.objects.create_user("maria")
    user.user_permissions.set(Permission.objects.exclude(codename=lacking))
    with pytest.raises(PermissionDenied, match=lacking):
        dead_letters.edit_and_replay(Actor.of(user, AuditEntry.Surface.API), letter.pk, ([], {}))
    assert DeadLetter.objects.parked().count() == 1 and not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("args", "kwargs", "reason"),
    [
        ("[", "{}", "args is not JSON"),
        ("{}", "{}", "args must be a JSON list"),
        ("[]", "[]", "kwargs must be a JSON object"),
        ('["••••••"]', "{}", "hides a value only where it was shown"),
    ],
)
def test_an_edit_that_cannot_be_read_is_refused_with_the_reason(
    app: Celery, store: Store, args: str, kwargs: str, reason: str
) -> None:
    letter = dead_one(app, store)
    with pytest.raises(ReplayRefused, match=reason):
        editing.prepare(letter, args, kwargs)


def test_an_edit_over_the_size_limit_is_refused(app: Celery, store: Store) -> None:
    letter = dead_one(app, store)
    with pytest.raises(ReplayRefused, match="Store the blob elsewhere"):
        dead_letters.edit_and_replay(ACTOR, letter.pk, (["x" * 300_000], {}))
    letter.refresh_from_db()
    assert letter.status == "parked"


def test_an_edit_of_a_letter_that_was_replayed_meanwhile_is_refused(app: Celery, store: Store) -> None:
    letter = dead_one(app, store)
    dead_letters.replay(ACTOR, [letter.pk])
    with pytest.raises(ReplayRefused, match="not parked any more"):
        dead_letters.edit_and_replay(ACTOR, letter.pk, ([], {}))


def test_without_the_permission_nothing_happens(app: Celery, store: Store) -> None:
    from django.contrib.auth.models import User

    letter = dead_one(app, store)
    nobody = Actor.of(User.objects.create_user("nobody"), AuditEntry.Surface.ADMIN)
    everything = DeadLetter.objects.all()
    for refused in (
        lambda: dead_letters.replay(nobody, [letter.pk]),
        lambda: dead_letters.edit_and_replay(nobody, letter.pk, ([], {})),
        lambda: dead_letters.replay_matching(nobody, everything, {}),
        lambda: dead_letters.discard(nobody, everything, {}),
        lambda: dead_letters.purge(nobody, everything, {}, force=True),
    ):
        with pytest.raises(PermissionDenied):
            refused()
    assert DeadLetter.objects.parked().count() == 1
    assert not AuditEntry.objects.exists()


def test_a_dead_job_that_others_wait_for_releases_them_by_its_replay(app: Celery, store: Store) -> None:
    letter = dead_one(app, store)
    child = NewJob("tag", "child", "shop.deliver", "acme", "{}", after=(letter.task_id,))
    assert store.enqueue("standard", [child]) == ["blocked"]

    assert dead_letters.replay(ACTOR, [letter.pk]).count == 1
    store.settle([Settlement(letters.claim(store).token, "succeeded")])

    assert letters.claim(store).task_id == "child"


def test_a_message_that_is_no_text_is_replayed_byte_by_byte(app: Celery, store: Store) -> None:
    # Given bytes that are no UTF-8, which another program put where stock Celery puts its messages
    alien = b'{"body": "\xff\xfe \xc3\xa9 \xed\xa0\x80", "n": 1}'
    store.client.rpush("standard", alien)
    assert adopt(store, "standard", org="acme") == 1
    letters.die(store, reason="undecodable", attempt=0)
    dead_letters.collect(store)
    letter = DeadLetter.objects.get()
    assert letter.message_encoding == "base64"

    assert dead_letters.replay(ACTOR, [letter.pk]).count == 1

    job = letters.claim(store)
    kept = store.client.get(store.key("job", queue="standard", tag=job.tag))
    assert kept.partition(b"\n")[2] == alien


def test_a_replay_takes_its_unique_key_again_or_says_who_has_it(app: Celery, store: Store) -> None:
    for reason in ("failed", "unknown_task"):
        letters.publish(app, 1, unique_key="a", task=f"shop.{reason}")
        letters.die(store, reason=reason)
        dead_letters.collect(store)
        letter = DeadLetter.objects.latest("pk")
        # A dead job has given its key up
        holder = letters.publish(app, 2, unique_key="a", task=f"shop.{reason}")
        done = dead_letters.replay(ACTOR, [letter.pk])
        assert (done.count, done.refused) == (0, 1)
        assert holder in done.refusals[0].reason
        letter.refresh_from_db()
        assert letter.status == "parked"
        # until the other one has ended.
        assert store.settle([Settlement(letters.claim(store).token, "succeeded")]) == ["settled"]
        assert dead_letters.replay(ACTOR, [letter.pk]).count == 1
        assert letters.publish(app, 3, unique_key="a", task=f"shop.{reason}") == letter.task_id
        assert store.settle([Settlement(letters.claim(store).token, "succeeded")]) == ["settled"]
