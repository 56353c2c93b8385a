"""Costly answers are kept for a while, others never."""

from __future__ import annotations

from itertools import count

from queueops.ops.keeping import MOST, Keeper


def test_a_costly_answer_is_asked_for_once() -> None:
    numbers, keeper = count(), Keeper[int](lambda number: True)
    assert {keeper.get("orgs", lambda: next(numbers)) for _ in range(5)} == {0}
    assert keeper.get("others", lambda: next(numbers)) == 1


def test_a_cheap_answer_is_asked_for_each_time() -> None:
    numbers, keeper = count(), Keeper[int](lambda number: False)
    assert [keeper.get("orgs", lambda: next(numbers)) for _ in range(3)] == [0, 1, 2]


def test_only_so_many_are_kept() -> None:
    asked: list[int] = []
    keeper = Keeper[int](lambda number: True)
    for number in [*range(MOST + 1), 0, MOST]:
        keeper.get(number, lambda number=number: asked.append(number) or number)  # type: ignore[misc]
    assert asked == [*range(MOST + 1), 0], "the first gave way to the last, and the last was kept"


def test_what_cannot_be_answered_is_not_kept() -> None:
    keeper = Keeper[int](lambda number: True)
    try:
        keeper.get("orgs", lambda: 1 // 0)
    except ZeroDivisionError:
        assert keeper.get("orgs", lambda: 7) == 7
