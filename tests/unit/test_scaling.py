"""The rule by which slots follow a backlog, and their division among workers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueops.conf import load
from queueops.engine.rules.scaling import SHIPPED, ScaleRule, Share, rule_from, shares, step
from queueops.errors import ConfigurationError


@pytest.mark.parametrize(
    ("slots", "backlog", "wanted"),
    [
        (8, 51, 10),
        (8, 50, 8),
        (8, 10, 8),
        (8, 9, 7),
        (19, 1000, 20),
        (20, 1000, 20),
        (5, 0, 5),
        (0, 0, 5),
        (2, 30, 5),
        (26, 1000, 20),
    ],
)
def test_the_shipped_rule(slots: int, backlog: int, wanted: int) -> None:
    assert step(SHIPPED, slots, backlog)[0] == wanted


def test_a_rule_says_why() -> None:
    assert step(SHIPPED, 8, 51)[1] == "51 jobs are ready, more than 50"
    assert step(SHIPPED, 20, 51)[1] == "51 jobs are ready, more than 50; 20 slots are the most"
    assert step(SHIPPED, 5, 3)[1] == "3 jobs are ready, fewer than 10; 5 slots are the least"
    assert step(SHIPPED, 8, 20)[1] == "20 jobs are ready, between 10 and 50"
    assert step(SHIPPED, 8, 900, paused=True) == (8, "the queue is paused")


def test_what_no_slot_could_start_asks_for_none() -> None:
    assert step(SHIPPED, 8, 900, waiting=860) == (8, "40 of 900 ready jobs could start, between 10 and 50")
    assert step(SHIPPED, 8, 900, waiting=849, full=40)[0] == 8
    assert step(SHIPPED, 8, 900, waiting=849)[0] == 10
    assert step(SHIPPED, 8, 900, waiting=900) == (7, "0 of 900 ready jobs could start, fewer than 10")
    # What waits for an end keeps the slots: with fewer of them it could start, and ask for them again.
    told = "0 of 900 ready jobs could start; 895 wait for jobs of their org or resource to end"
    assert step(SHIPPED, 8, 900, waiting=5, full=895) == (8, told)
    assert step(SHIPPED, 8, 900, waiting=895, full=5)[0] == 7


def test_no_queue_gets_more_slots_than_it_may_use() -> None:
    assert step(SHIPPED, 6, 1000, cap=7)[0] == 7
    assert step(SHIPPED, 9, 1000, cap=7) == (7, "9 slots are above the queue's concurrency, 7")
    assert step(SHIPPED, 9, 0, cap=0)[0] == 1


@given(
    st.builds(
        lambda least, more, down, up: ScaleRule(min=least, max=least + more, down_at=down, up_at=down + up),
        st.integers(1, 20),
        st.integers(0, 40),
        st.integers(0, 50),
        st.integers(0, 100),
    ),
    st.integers(0, 100),
    st.integers(0, 10_000),
)
def test_a_step_stays_within_the_rule(rule: ScaleRule, slots: int, backlog: int) -> None:
    wanted, _ = step(rule, slots, backlog)
    assert rule.min <= wanted <= rule.max
    if rule.min <= slots <= rule.max:
        assert slots - rule.down_by <= wanted <= slots + rule.up_by


def test_slots_are_divided_evenly_within_what_each_worker_can_have() -> None:
    assert shares(7, [Share("b", 1), Share("a", 1), Share("c", 1)]) == {"a": 3, "b": 2, "c": 2}
    assert shares(2, [Share("a", 1), Share("b", 1), Share("c", 1)]) == {"a": 1, "b": 1, "c": 1}
    # One that can not change, one that may have two, and the rest for the third.
    assert shares(12, [Share("a", 4, 4), Share("b", 1, 2), Share("c", 1)]) == {"a": 4, "b": 2, "c": 6}
    assert shares(99, [Share("a", 1, 3), Share("b", 2, 2)]) == {"a": 3, "b": 2}
    assert shares(5, []) == {}


@given(st.integers(0, 60), st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9) | st.none()), max_size=8))
def test_a_division_gives_out_what_it_can(total: int, rooms: list[tuple[int, int | None]]) -> None:
    workers = [
        Share(f"w{at}", least, None if more is None else least + more)
        for at, (least, more) in enumerate(rooms)
    ]
    given_ = shares(total, workers)
    for one in workers:
        assert one.least <= given_[one.name]
        assert one.most is None or given_[one.name] <= one.most
    least = sum(one.least for one in workers)
    most = None if any(one.most is None for one in workers) else sum(one.most or 0 for one in workers)
    expected = max(least, total if most is None else min(total, most)) if workers else 0
    assert sum(given_.values()) == expected
    assert given_ == shares(total, reversed(workers)), "whoever asks gets the same answer"


def test_a_rule_of_the_settings() -> None:
    config = load({"QUEUES": {"bulk": {"autoscale": {"max": 40, "every": 5}}}}, {}, {})
    assert config.queue("bulk").autoscale == ScaleRule(max=40, every=5.0)
    assert config.queue("standard").autoscale is SHIPPED


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({"upto": 3}, "a mapping of up_at, up_by"),
        ([1], "a mapping of"),
        ({"up_by": 0}, "a whole number of at least 1"),
        ({"min": 9, "max": 8}, "min (9) is at most its max (8)"),
        ({"up_at": 5, "down_at": 6}, "down_at (6) is at most its up_at (5)"),
        ({"every": 0}, "a number above 0"),
    ],
)
def test_a_rule_that_is_none(given_: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("(", r"\(").replace(")", r"\)")):
        rule_from(given_)
    with pytest.raises(ConfigurationError, match="autoscale"):
        load({"QUEUES": {"bulk": {"autoscale": given_}}}, {}, {})
