"""What a dead letter tells: bounded, fit for JSON, and never failing itself."""

from __future__ import annotations

import json
import pickle

import pytest
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Reject

from queueops.engine.rules.states import Reason
from queueops.middleware.dead_letter import (
    MESSAGE_CHARS,
    TRACEBACK_CHARS,
    RetryRefused,
    detail,
    reason_of,
)


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("x"), "failed"),
        (SoftTimeLimitExceeded(), "timeout"),
        (TimeLimitExceeded(3), "timeout"),
        (WorkerLostError("x"), "worker_lost"),
        (Reject("x"), "rejected"),
        (RetryRefused("ValueError", "x"), "retry_refused"),
        (None, "failed"),
    ],
)
def test_the_reason_follows_from_the_error(error: Exception | None, reason: str) -> None:
    assert reason_of(error) == reason


def test_a_letter_tells_error_worker_time_and_every_attempt() -> None:
    earlier = [{"n": 1, "at": 5, "error": "Boom", "message": "one", "worker": "w"}]
    told = detail(
        Reason.FAILED,
        error=KeyError("two"),
        traceback="Traceback ...",
        worker="w2",
        run_ms=12.6,
        attempts=earlier,
        attempt=2,
    )
    assert told["attempts"][0] == earlier[0]
    assert told["attempts"][1].pop("at") > 0
    assert told["attempts"][1] == {
        "n": 2,
        "error": "KeyError",
        "message": "'two'",
        "worker": "w2",
        "run_ms": 13,
    }
    assert {key: told[key] for key in ("reason", "error", "message", "traceback", "worker", "run_ms")} == {
        "reason": "failed",
        "error": "KeyError",
        "message": "'two'",
        "traceback": "Traceback ...",
        "worker": "w2",
        "run_ms": 13,
    }
    assert earlier == [{"n": 1, "at": 5, "error": "Boom", "message": "one", "worker": "w"}], "not changed"
    assert json.loads(json.dumps(told)) == told


def test_a_letter_is_bounded_and_keeps_the_end_of_a_traceback() -> None:
    told = detail("failed", error=ValueError("m" * 10**6), traceback="t" * 10**6 + "the end", attempt=1)
    assert len(told["message"]) < MESSAGE_CHARS + 20
    assert len(told["traceback"]) < TRACEBACK_CHARS + 50
    assert told["traceback"].endswith("the end")
    assert len(json.dumps(told)) < 30_000


def test_an_error_without_words_still_makes_a_letter() -> None:
    told = detail("failed", error=Silent())
    assert told["error"] == "Silent"
    assert "Silent object" in told["message"]
    assert detail("expired")["error"] == ""


def test_a_refused_retry_crosses_a_process_border_and_tells_the_bodys_error() -> None:
    error = RetryRefused("Boom", "the body; the next attempt could not be published: X: y")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  as billiard sends it
    assert (copy.error, copy.text, copy.requeue) == (error.error, error.text, False)
    assert detail(reason_of(copy), error=copy)["error"] == "Boom"
