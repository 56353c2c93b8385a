from __future__ import annotations

import pickle
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from tasks.answers import failure_of, retry_after_seconds
from tasks.failures import (
    AddressRefused,
    DeliveryFailed,
    EndpointUnusable,
    InvalidEvent,
    PermanentFailure,
    TemporaryFailure,
)

NOW = 1_700_000_000.0
DAY = 86_400.0


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
def test_every_2xx_is_a_success(status: int) -> None:
    assert failure_of(status, {}, "", retry_after_limit=DAY) is None


@pytest.mark.parametrize("status", [408, 409, 423, 425, 429, 500, 502, 503, 504, 507, 520, 599])
def test_answers_about_the_moment_are_temporary(status: int) -> None:
    failure = failure_of(status, {"retry-after": "7"}, "busy", retry_after_limit=DAY)
    assert type(failure) is TemporaryFailure
    assert (failure.status, failure.retry_after, failure.excerpt) == (status, 7.0, "busy")
    assert str(status) in str(failure)


@pytest.mark.parametrize(
    "status", [301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 410, 413, 415, 422, 451]
)
def test_answers_about_the_request_are_permanent(status: int) -> None:
    failure = failure_of(status, {"retry-after": "7"}, "no", retry_after_limit=DAY)
    assert type(failure) is PermanentFailure
    assert (failure.status, failure.retry_after, failure.excerpt) == (status, None, "no")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("99999999", DAY),
        ("9" * 5_000, DAY),
        (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90.0),
        (format_datetime(datetime.fromtimestamp(NOW - 90, UTC), usegmt=True), 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("Fri, 99 Dec 2023 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_the_limit(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value, now=NOW, limit=DAY) == seconds


@pytest.mark.parametrize(
    "kind", [TemporaryFailure, PermanentFailure, AddressRefused, EndpointUnusable, InvalidEvent]
)
def test_failures_cross_a_process_whole(kind: type[DeliveryFailed]) -> None:
    failure = kind("why")
    failure.status, failure.retry_after, failure.excerpt = 503, 2.5, "busy"
    copy = pickle.loads(pickle.dumps(failure))  # noqa: S301 what billiard does between child and parent
    assert (type(copy), str(copy), copy.status, copy.retry_after, copy.excerpt) == (
        kind,
        "why",
        503,
        2.5,
        "busy",
    )


def test_a_failure_without_words_says_what_its_kind_means() -> None:
    assert "tried again" in str(TemporaryFailure())
