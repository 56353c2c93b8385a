"""What the store says of jobs that are over, for as long as it remembers."""

from __future__ import annotations

import pytest

from queueops.engine.rules.envelope import NewJob
from queueops.engine.store import Store
from queueops.engine.types import Settlement
from tests.support.valkey import Valkey

NOW = 1_800_000_030_000
MINUTE = 60_000


@pytest.fixture
def store(valkey: Valkey) -> Store:
    return Store(valkey.client(decode_responses=False))


def job(name: str, **given: object) -> NewJob:
    return NewJob(f"tag-{name}", name, "shop.note", "acme", "{}", **given)  # type: ignore[arg-type]


def end(store: Store, outcome: str, now_ms: int = NOW) -> None:
    [leased] = store.claim(["bulk"], 1, 0, "worker", 1, now_ms=now_ms).jobs
    detail = {"reason": "failed"} if outcome == "dead" else None
    assert store.settle([Settlement(leased.token, outcome, 1.0, detail)], now_ms=now_ms) == ["settled"]  # type: ignore[arg-type]


def test_living_and_ended_jobs_are_told_in_one_answer(store: Store) -> None:
    for outcome in ("succeeded", "dead"):
        store.enqueue("bulk", [job(outcome)], now_ms=NOW)
        end(store, outcome)
    store.enqueue("bulk", [job("cancelled"), job("ready"), job("later", due_ms=NOW + MINUTE)], now_ms=NOW)
    store.cancel("cancelled", now_ms=NOW)
    asked = ["succeeded", "dead", "cancelled", "ready", "later", "nobody"]
    assert store.outcomes(asked, now_ms=NOW) == {
        "succeeded": "succeeded",
        "dead": "dead",
        "cancelled": "cancelled",
        "ready": "living",
        "later": "living",
        "nobody": "unknown",
    }
    assert store.outcomes([]) == {}


def test_an_end_is_remembered_for_two_minutes_and_a_death_until_its_letter_is_closed(store: Store) -> None:
    for outcome in ("succeeded", "dead"):
        store.enqueue("bulk", [job(outcome)], now_ms=NOW)
        end(store, outcome)
    asked = ["succeeded", "dead"]
    soon, late = NOW + 2 * MINUTE, NOW + 10 * MINUTE
    assert store.outcomes(asked, now_ms=soon) == {"succeeded": "succeeded", "dead": "dead"}
    assert store.outcomes(asked, now_ms=late) == {"succeeded": "unknown", "dead": "dead"}
    store.unbury(["dead"])
    assert store.outcomes(asked, now_ms=late) == {"succeeded": "unknown", "dead": "unknown"}


def test_the_last_end_of_a_job_that_was_replayed_counts(store: Store) -> None:
    store.enqueue("bulk", [job("one")], now_ms=NOW)
    end(store, "dead")
    again = NewJob("replay-1", "one", "shop.note", "acme", "{}", repeated=True, replays=True)
    store.enqueue("bulk", [again], now_ms=NOW + MINUTE)
    assert store.outcomes(["one"], now_ms=NOW + MINUTE) == {"one": "living"}
    end(store, "succeeded", NOW + MINUTE)
    assert store.outcomes(["one"], now_ms=NOW + MINUTE) == {"one": "succeeded"}
