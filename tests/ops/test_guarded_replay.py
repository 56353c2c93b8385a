"""A replay with a guard: canaries first, then a rate, and an end when too many die again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from django.core.exceptions import PermissionDenied

from queueops.engine.store import Store
from queueops.engine.types import Settlement
from queueops.errors import BrokerUnavailable, InvalidCursor, ReplayRefused
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import broker, dead_letters, guarded_replay, letter_list
from queueops.ops.guarded_replay import Guarded, Verdict
from queueops.ops.guarded_state import CARRIED, State
from queueops.ops.permissions import Actor
from tests.support import letters, site
from tests.support.valkey import Valkey

ACTOR = Actor.shell("maria")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_replay, "POLL_SECONDS", 0.01)


@pytest.fixture
def store(app: Celery) -> Iterator[Store]:
    with broker.store() as opened:
        yield opened


def dead(app: Celery, store: Store, number: int) -> list[int]:
    """So many collected letters, oldest first; their jobs have the arguments 0, 1, 2 ..."""
    for n in range(number):
        letters.publish(app, n)
        letters.die(store)
    dead_letters.collect_all(store)
    return list(DeadLetter.objects.order_by("died_at", "id").values_list("pk", flat=True))


def replay(**given: Any) -> Guarded:
    matching, described = letter_list.matching(**given.pop("filters", {}))
    return guarded_replay.replay_guarded(ACTOR, matching, described, **given)


def worker(store: Store, fails: Callable[[int], bool] = lambda nth: False) -> Callable[[Guarded], None]:
    """A worker that runs what is ready whenever the replay tells of itself; `fails` says which job dies."""
    ran, calls = 0, itertools.count(1)

    def work(seen: Guarded) -> None:
        nonlocal ran
        while jobs := store.claim(["standard"], 50, 0, "worker", next(calls)).jobs:
            for job in jobs:
                died = fails(ran)
                settled = letters.dead(job) if died else Settlement(job.token, "succeeded", 1.0)
                assert store.settle([settled]) == ["settled"]
                ran += 1

    return work


def statuses() -> list[str]:
    return list(DeadLetter.objects.order_by("died_at", "id").values_list("status", flat=True))


def test_canaries_go_first_and_the_rest_when_they_have_succeeded(app: Celery, store: Store) -> None:
    dead(app, store, 6)
    seen: list[Guarded] = []
    work = worker(store)

    def progress(told: Guarded) -> None:
        seen.append(told)
        work(told)

    done = replay(canary=2, progress=progress)

    assert (done.verdict, done.count, done.succeeded, done.failed) == (Verdict.FINISHED, 6, 6, 0)
    assert (done.canary_succeeded, done.canary_failed, done.stopped, done.after) == (2, 0, "", None)
    assert statuses() == ["replayed"] * 6
    # Nothing else was replayed before both canaries had succeeded
    assert all(told.count <= 2 or told.canary_succeeded == 2 for told in seen)
    assert {told.verdict for told in seen} == {Verdict.RUNNING}
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.result_count) == ("replay", 6)
    assert entry.parameters == {
        "filter": {"status": "parked"}, "canary": 2, "rate": None, "stop_share": 0.5,
    }  # fmt: skip


def test_canaries_that_die_again_stop_it_and_nothing_else_is_replayed(app: Celery, store: Store) -> None:
    dead(app, store, 6)
    done = replay(canary=3, progress=worker(store, lambda nth: nth < 2))
    assert done.verdict is Verdict.CANARY_FAILED
    assert (done.count, done.canary_failed, done.failed) == (3, 2, 2)
    assert done.stopped == "2 of 3 canaries did not succeed."
    assert statuses() == ["replayed"] * 3 + ["parked"] * 3

    # Who goes on nevertheless begins behind them, with canaries of its own
    assert done.after is not None
    again = replay(canary=1, after=done.after, progress=worker(store))
    assert (again.verdict, again.count, again.canary_succeeded) == (Verdict.FINISHED, 3, 1)


def test_canaries_of_which_few_enough_die_do_not_stop_it(app: Celery, store: Store) -> None:
    dead(app, store, 6)
    done = replay(canary=2, progress=worker(store, lambda nth: nth == 0))
    assert (done.verdict, done.count, done.canary_failed) == (Verdict.FINISHED, 6, 1)


def test_cancelled_canaries_have_not_succeeded(app: Celery, store: Store) -> None:
    dead(app, store, 3)

    def cancel(seen: Guarded) -> None:
        for letter in DeadLetter.objects.filter(status="replayed"):
            store.cancel(letter.task_id)

    done = replay(canary=1, progress=cancel)
    assert (done.verdict, done.count, done.cancelled, done.canary_failed) == (Verdict.CANARY_FAILED, 1, 1, 0)


def test_canaries_that_do_not_end_in_time_are_waited_for_by_the_next_call(app: Celery, store: Store) -> None:
    dead(app, store, 4)
    done = replay(canary=2, wait_seconds=0.05)
    assert (done.verdict, done.count, done.canary_succeeded) == (Verdict.CANARY_WAITS, 2, 0)
    assert done.stopped == "2 canaries have not ended in time."
    assert statuses() == ["replayed"] * 2 + ["parked"] * 2

    worker(store)(done)
    again = replay(canary=2, after=done.after, progress=worker(store))
    assert (again.verdict, again.count, again.succeeded) == (Verdict.FINISHED, 4, 4)
    assert again.canary_succeeded == 2, "no more canaries than were asked for at first"


def test_it_stops_by_itself_when_too_many_die_again(
    app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_replay, "_BATCH", 2)
    monkeypatch.setattr(guarded_replay, "POLL_SECONDS", 0.0)
    dead(app, store, 20)
    done = replay(stop_share=0.25, min_ended=4, progress=worker(store, lambda nth: nth >= 4))
    assert done.verdict is Verdict.FAILURES
    assert (done.succeeded, done.failed) == (4, 2)
    assert done.stopped == "2 of 6 jobs that ended died again."
    assert statuses().count("parked") == 20 - done.count
    # From there on it counts anew
    again = replay(stop_share=0.25, min_ended=4, after=done.after, progress=worker(store))
    assert (again.verdict, again.succeeded, again.count) == (
        Verdict.FINISHED,
        20 - done.count,
        20 - done.count,
    )


def test_with_fewer_ended_than_the_least_it_goes_on(app: Celery, store: Store) -> None:
    dead(app, store, 5)
    done = replay(stop_share=0.0, min_ended=6, progress=worker(store, lambda nth: True))
    assert (done.verdict, done.failed) == (Verdict.FINISHED, 5)


def test_jobs_that_die_again_are_not_replayed_for_ever(
    app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_replay, "_BATCH", 1)
    dead(app, store, 3)
    work = worker(store, lambda nth: True)

    def progress(seen: Guarded) -> None:
        work(seen)
        dead_letters.collect_all(store)

    done = replay(stop_share=1.0, progress=progress)
    assert (done.count, done.failed) == (3, 3)
    assert statuses() == ["replayed"] * 3 + ["parked"] * 3


def test_a_rate_is_kept(app: Celery, store: Store) -> None:
    dead(app, store, 6)
    began = time.monotonic()
    done = replay(rate=4.0, progress=worker(store))
    assert done.count == 6
    # Batches of four and two: the second one a second after the first
    assert time.monotonic() - began >= 0.9


def test_a_call_ends_in_time_and_the_next_one_goes_on(
    app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_replay, "_BATCH", 2)
    dead(app, store, 5)
    after, counts, verdicts = None, [], []
    while True:
        done = replay(canary=1, rate=100.0, seconds=0, after=after, progress=worker(store))
        counts.append(done.count)
        verdicts.append(done.verdict)
        after = done.after
        if after is None:
            break
    assert verdicts[0] is Verdict.TIME and len(verdicts) > 2
    assert verdicts[-1] is Verdict.FINISHED
    assert counts == sorted(counts) and counts[-1] == 5
    assert store.queue_snapshot("standard").ready == 0
    assert done.succeeded == 5


def test_who_is_interrupted_has_lost_nothing_and_goes_on(
    app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_replay, "_BATCH", 2)
    dead(app, store, 7)
    told: list[Guarded] = []

    def interrupted(seen: Guarded) -> None:
        told.append(seen)
        if seen.count == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(progress=interrupted)
    assert statuses() == ["replayed"] * 4 + ["parked"] * 3
    assert AuditEntry.objects.get().result_count == 4
    done = replay(after=told[-1].after, progress=worker(store))
    assert (done.verdict, done.count, done.succeeded) == (Verdict.FINISHED, 7, 7)


def test_a_second_call_at_the_same_time_publishes_nothing_twice(app: Celery, store: Store) -> None:
    dead(app, store, 4)
    inner: list[Guarded] = []

    def progress(seen: Guarded) -> None:
        if not inner:
            inner.append(replay())

    done = replay(canary=1, wait_seconds=0.05, progress=progress)
    assert (done.count, inner[0].count) == (1, 3)
    assert store.queue_snapshot("standard").ready == 4
    assert replay().count == 0


def test_letters_that_are_refused_are_told_and_more_canaries_are_taken(app: Celery, store: Store) -> None:
    bad = letters.row(died_at=letters.row().died_at.replace(year=2020))
    bad.save()
    dead(app, store, 3)
    done = replay(canary=2, progress=worker(store))
    assert (done.verdict, done.count, done.refused, done.canary_succeeded) == (Verdict.FINISHED, 3, 1, 2)
    assert done.refusals[0].letter == bad.pk


def test_without_a_letter_that_matches_it_is_finished(app: Celery, store: Store) -> None:
    done = replay(canary=3, filters={"org": "nobody"})
    assert (done.verdict, done.count, done.after) == (Verdict.FINISHED, 0, None)


def test_with_the_broker_away_it_says_where_to_go_on(database: None) -> None:
    server = Valkey()
    with site.celery_app(server.broker_url) as app:
        with broker.store() as opened:
            dead(app, opened, 3)

            def progress(seen: Guarded) -> None:
                server.close()

            done = replay(canary=1, progress=progress)
        assert (done.verdict, done.count) == (Verdict.BROKER_AWAY, 1)
        assert "does not answer" in done.stopped and done.after
        assert statuses() == ["replayed", "parked", "parked"]
        with pytest.raises(BrokerUnavailable):
            replay()


def test_what_the_broker_has_forgotten_is_told_by_the_letters(app: Celery, store: Store) -> None:
    dead(app, store, 2)
    work = worker(store, lambda nth: nth == 0)

    def progress(seen: Guarded) -> None:
        work(seen)
        dead_letters.collect_all(store)
        for key in store.client.scan_iter("*ended:*"):
            store.client.delete(key)
        store.client.delete(store.key("graves"))

    done = replay(canary=2, stop_share=0.5, progress=progress)
    assert (done.canary_succeeded, done.canary_failed) == (1, 1)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"canary": -1}, "number of letters"),
        ({"min_ended": 0}, "at least one job"),
        ({"rate": 0}, "above 0"),
        ({"rate": float("nan")}, "above 0"),
        ({"stop_share": 1.5}, "0 to 1"),
        ({"stop_share": float("nan")}, "0 to 1"),
        ({"wait_seconds": -1}, "wait"),
        ({"wait_seconds": float("inf")}, "wait"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(app: Celery, given: dict[str, Any], why: str) -> None:
    with pytest.raises(ReplayRefused, match=why):
        replay(**given)
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("after", ["x", "eJwDAAAAAAE=", "é", State(1, 2, at="1~1").write()[:-8]])
def test_a_state_of_another_make_is_refused(app: Celery, after: str) -> None:
    with pytest.raises(InvalidCursor):
        replay(after=after)


def test_a_state_carries_the_canaries_and_as_many_others_as_fit() -> None:
    state = State(5, 0, at="7~1", count=9, watched={n: n >= 900 for n in range(1000)})
    read = State.read(state.write())
    assert (read.at, read.until_ms, read.count) == ("7~1", 5, 9)
    assert len(read.watched) == CARRIED and sum(read.watched.values()) == 100
    assert len(state.write()) < 4_000
    judged = State.read(state.write(judged=True))
    assert (judged.at, judged.until_ms, judged.count, judged.watched) == ("7~1", 5, 0, {})


def test_without_the_permission_nothing_is_replayed(app: Celery, store: Store) -> None:
    from django.contrib.auth.models import User

    dead(app, store, 1)
    nobody = Actor.of(User.objects.create_user("nobody"), AuditEntry.Surface.API)
    with pytest.raises(PermissionDenied, match="replay_deadletter"):
        guarded_replay.replay_guarded(nobody, DeadLetter.objects.all(), {})
    assert statuses() == ["parked"]
