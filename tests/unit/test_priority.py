"""Priorities: what may be written, on which scale, and how a job ages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueops.engine.rules.priority import PATIENCE_MS, Priority, parse, patience_ms
from queueops.errors import InvalidPriority

MINUTE = 60_000


def test_none_is_normal_and_an_explicit_zero_is_critical() -> None:
    assert parse(None) == Priority.NORMAL == 5
    assert parse(0) == Priority.CRITICAL


@pytest.mark.parametrize("value", range(11))
def test_every_number_of_the_range_is_a_priority_also_as_text(value: int) -> None:
    assert parse(value) == parse(str(value)) == value


@pytest.mark.parametrize("member", list(Priority))
def test_a_name_is_a_priority_in_any_case(member: Priority) -> None:
    assert parse(member) == parse(member.name) == parse(member.name.lower()) == member.value


@pytest.mark.parametrize("value", [-1, 11, "soon", "", 5.0, True, False, "-1", "٣", [], object()])
def test_anything_else_is_refused_with_the_range(value: object) -> None:
    with pytest.raises(InvalidPriority, match=r"0 \(sooner\) to 10 \(later\), or one of CRITICAL, HIGH"):
        parse(value)


@pytest.mark.parametrize(
    ("name", "number", "ours"),
    [("LOWEST", 1, 10), ("LOW", 3, 8), ("NORMAL", 5, 5), ("HIGH", 7, 1), ("CRITICAL", 10, 0)],
)
def test_on_the_scale_1_to_10_higher_is_sooner(name: str, number: int, ours: int) -> None:
    assert parse(name, "1-10") == parse(number, "1-10") == parse(str(number), "1-10") == ours


def test_the_scale_1_to_10_keeps_the_order_and_only_ten_is_critical() -> None:
    converted = [parse(n, "1-10") for n in range(1, 11)]
    assert converted == sorted(converted, reverse=True)
    assert converted.count(0) == 1


@pytest.mark.parametrize("value", [0, 11, -1, "BULK"])
def test_out_of_the_scale_1_to_10_is_refused_with_its_range(value: object) -> None:
    with pytest.raises(InvalidPriority, match=r"1 \(later\) to 10 \(sooner\)"):
        parse(value, "1-10")


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(InvalidPriority, match="1-10"):
        parse(5, "1-100")


@pytest.mark.parametrize(
    ("priority", "minutes"), [(0, 0), (1, 5), (3, 12.5), (5, 20), (6, 30), (8, 50), (9, 80), (10, 110)]
)
def test_patience_is_pinned_and_in_between_it_is_interpolated(priority: int, minutes: float) -> None:
    assert patience_ms(priority) == minutes * MINUTE


def test_a_low_job_that_waited_half_an_hour_stands_beside_a_fresh_normal_one() -> None:
    assert patience_ms(Priority.LOW) - patience_ms(Priority.NORMAL) == 30 * MINUTE


def test_a_queue_may_have_its_own_patience_and_beyond_its_ends_the_nearest_holds() -> None:
    table = {2: 1_000, 6: 3_000}
    assert [patience_ms(n, table) for n in (0, 2, 4, 6, 10)] == [1_000, 1_000, 2_000, 3_000, 3_000]


@given(st.integers(0, 9), st.dictionaries(st.integers(0, 10), st.integers(0, 10**9), min_size=1))
def test_interpolated_patience_stays_between_its_neighbours(priority: int, table: dict[int, int]) -> None:
    assert min(table.values()) <= patience_ms(priority, table) <= max(table.values())


def test_the_default_table_rises() -> None:
    values = [PATIENCE_MS[n] for n in sorted(PATIENCE_MS)]
    assert values == sorted(values)
