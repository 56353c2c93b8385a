"""The retry delays of each queue, their cap and their end, pinned."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueops.engine.rules.backoff import DEFAULT_POLICIES, RetryPolicy, policy_from
from queueops.errors import ConfigurationError


@pytest.mark.parametrize(
    ("queue", "delays"),
    [
        ("critical", [5, 10, 20, 40, 80, 160, 300, 300]),
        ("standard", [20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]),
        ("bulk", [120, 240, 480, 960, 1920, 3600, 3600]),
    ],
)
def test_the_delays_of_each_queue_double_up_to_their_cap(queue: str, delays: list[float]) -> None:
    policy = DEFAULT_POLICIES[queue]
    assert [policy.delay(n) for n in range(1, len(delays) + 1)] == delays


@pytest.mark.parametrize("queue", DEFAULT_POLICIES)
def test_after_three_attempts_a_job_is_given_up(queue: str) -> None:
    policy = DEFAULT_POLICIES[queue]
    assert [policy.exhausted(n) for n in (1, 2, 3, 4)] == [False, False, True, True]


def test_full_jitter_is_repeatable_with_a_seed() -> None:
    policy = RetryPolicy(20, 3600, jitter="full")
    drawn = [round(policy.delay(n, random.Random(7)), 3) for n in (1, 2, 3)]
    assert drawn == [6.477, 12.953, 25.907]
    assert drawn == [round(policy.delay(n, random.Random(7)), 3) for n in (1, 2, 3)]


@given(st.integers(1, 10_000), st.floats(0, 1e6), st.integers(0, 2**32))
def test_no_delay_is_ever_below_zero_or_above_the_cap(attempt: int, base: float, seed: int) -> None:
    plain, jittered = RetryPolicy(base, 2e6), RetryPolicy(base, 2e6, jitter="full")
    assert 0 <= plain.delay(attempt) <= 2e6
    assert 0 <= jittered.delay(attempt, random.Random(seed)) <= plain.delay(attempt)


@pytest.mark.parametrize(
    "values",
    [
        {"base_seconds": -1, "cap_seconds": 5},
        {"base_seconds": 10, "cap_seconds": 5},
        {"base_seconds": float("nan"), "cap_seconds": 5},
        {"base_seconds": 1, "cap_seconds": float("nan")},
        {"base_seconds": 1, "cap_seconds": 5, "attempts": 0},
        {"base_seconds": 1, "cap_seconds": 5, "attempts": True},
        {"base_seconds": 1, "cap_seconds": 5, "attempts": 2.5},
        {"base_seconds": 1, "cap_seconds": 5, "jitter": "some"},
    ],
)
def test_a_policy_that_cannot_be_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        RetryPolicy(**values)  # type: ignore[arg-type]


def test_a_dict_changes_only_what_it_names() -> None:
    base = DEFAULT_POLICIES["standard"]
    assert policy_from({"attempts": 8}, base) == RetryPolicy(20, 3600, attempts=8)
    assert policy_from({"base_seconds": 7200}, base) == RetryPolicy(7200, 7200)
    assert policy_from({"cap_seconds": 1}, base) == RetryPolicy(1, 1)
    assert policy_from(RetryPolicy(1, 2), base) == RetryPolicy(1, 2)


def test_an_unknown_field_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(
        ConfigurationError, match=r"'max_retries'; it has base_seconds, cap_seconds, attempts"
    ):
        policy_from({"max_retries": 3}, DEFAULT_POLICIES["standard"])
    with pytest.raises(ConfigurationError, match="RetryPolicy or a dict"):
        policy_from(3, DEFAULT_POLICIES["standard"])
