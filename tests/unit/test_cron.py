"""Cron over the two changes of the clocks, in zones north, south and at midnight."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from queueops.engine.rules.cron import Cron

BERLIN, NEW_YORK, SANTIAGO = (
    ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "America/Santiago")
)
EVERY = {"hours": range(24), "weekdays": range(7), "days": range(1, 32), "months": range(1, 13)}


def cron(zone: ZoneInfo, **fields: object) -> Cron:
    given = {"minutes": (0,), **EVERY, **fields}
    return Cron(**{name: frozenset(values) for name, values in given.items()}, zone=zone)  # type: ignore[arg-type]


def times(entry: Cron, start: datetime, end: datetime) -> list[datetime]:
    """All times of an entry, as `next` tells them one after the other."""
    found, at = [], start
    while (at := entry.next(at)) is not None and at < end:  # type: ignore[assignment]
        found.append(at)
    return found


def walls(entry: Cron, start: datetime, end: datetime) -> list[str]:
    return [at.astimezone(entry.zone).strftime("%d %H:%M") for at in times(entry, start, end)]


def day(zone: ZoneInfo, year: int, month: int, number: int) -> datetime:
    return datetime(year, month, number, tzinfo=zone)


def test_an_hour_that_is_left_out_moves_its_entries_behind_it() -> None:
    window = day(BERLIN, 2026, 3, 28), day(BERLIN, 2026, 3, 31)
    assert walls(cron(BERLIN, minutes=(30,), hours=(2,)), *window) == ["28 02:30", "29 03:30", "30 02:30"]


def test_an_hour_that_comes_twice_fires_once() -> None:
    entry = cron(BERLIN, minutes=(30,), hours=(2,))
    window = day(BERLIN, 2026, 10, 24), day(BERLIN, 2026, 10, 27)
    assert walls(entry, *window) == ["24 02:30", "25 02:30", "26 02:30"]
    assert times(entry, *window)[1] == datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "the first passage"


#: The days on which each zone's clocks go forward and back.
CHANGES = {BERLIN: ((3, 29), (10, 25)), NEW_YORK: ((3, 8), (11, 1)), SANTIAGO: ((9, 6), (4, 5))}


@pytest.mark.parametrize("zone", CHANGES, ids=str)
def test_an_entry_for_every_hour_goes_by_elapsed_time(zone: ZoneInfo) -> None:
    entry = cron(zone, minutes=range(0, 60, 15))
    for month, number in CHANGES[zone]:
        start = day(zone, 2026, month, number) - timedelta(days=1)
        found = times(entry, start, start + timedelta(days=3))
        assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(minutes=15)}


@pytest.mark.parametrize("zone", [*CHANGES, ZoneInfo("Australia/Lord_Howe")], ids=str)
@pytest.mark.parametrize("hour", range(4))
@pytest.mark.parametrize("minute", [0, 30])
def test_a_daily_entry_fires_once_on_each_day_of_a_year(zone: ZoneInfo, hour: int, minute: int) -> None:
    found = times(cron(zone, minutes=(minute,), hours=(hour,)), day(zone, 2026, 1, 1), day(zone, 2027, 1, 1))
    dates = [at.astimezone(zone).date() for at in found]
    assert len(dates) in (364, 365) and len(set(dates)) == len(dates)


def test_the_last_time_is_the_one_that_next_had_named() -> None:
    entry = cron(BERLIN, minutes=(0, 30), hours=(1, 2, 3))
    start, end = day(BERLIN, 2026, 10, 24), day(BERLIN, 2026, 10, 27)
    known = times(entry, start, end)
    at = start
    while at < end:
        before = [one for one in known if one <= at]
        assert entry.last(at, start) == (before[-1] if before and before[-1] > start else None)
        at += timedelta(minutes=10)


def test_fields_must_all_match_and_may_match_never() -> None:
    friday_13 = cron(BERLIN, hours=(9,), weekdays=(5,), days=(13,))
    found = times(friday_13, day(BERLIN, 2026, 1, 1), day(BERLIN, 2027, 1, 1))
    assert [at.strftime("%m-%d") for at in found] == ["02-13", "03-13", "11-13"]
    leap = cron(BERLIN, hours=(9,), days=(29,), months=(2,))
    assert leap.next(day(BERLIN, 2026, 1, 1)) == datetime(2028, 2, 29, 8, 0, tzinfo=UTC)
    assert cron(BERLIN, days=(30,), months=(2,)).next(day(BERLIN, 2026, 1, 1)) is None
