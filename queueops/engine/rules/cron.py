"""When a cron entry is due, in a time zone whose clocks are changed twice a year.

A wall time that does not exist (the clocks go forward) means as many minutes after the change as it lies
after the hour that is left out: 02:30 is 03:30. One that exists twice (they go back) means its first
passage; only an entry for every hour goes by elapsed time and fires in both.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

__all__ = ["Cron"]

#: Days to search: the 29th of February is at most eight years away, on a given weekday forty.
_FARTHEST_DAYS = 366 * 41
_DAY = timedelta(days=1)
_HOURS = frozenset(range(24))


@dataclass(frozen=True, slots=True)
class Cron:
    """The fields of a crontab, expanded; all of them must match. Weekdays count from Sunday, which is 0."""

    minutes: frozenset[int]
    hours: frozenset[int]
    weekdays: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    zone: tzinfo

    def last(self, moment: datetime, since: datetime) -> datetime | None:
        """Return the latest time after `since` and not after `moment`, in UTC; None if there is none."""
        day = moment.astimezone(self.zone).date()
        # A day's latest time can lie in the next one, where the clocks go forward at midnight.
        end = since.astimezone(self.zone).date() - _DAY
        while day >= end:
            times = _times(self, day)
            if (passed := bisect_right(times, moment)) > 0:
                found = times[passed - 1]
                return found if found > since else None
            day -= _DAY
        return None

    def next(self, moment: datetime) -> datetime | None:
        """Return the earliest time after `moment`, in UTC; None for a date that does not exist."""
        day = moment.astimezone(self.zone).date() - _DAY
        for _ in range(_FARTHEST_DAYS):
            times = _times(self, day)
            if (passed := bisect_right(times, moment)) < len(times):
                return times[passed]
            day += _DAY
        return None

    def matches(self, day: date) -> bool:
        """Whether the entry has times on that day."""
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays


# An entry is asked many times about the same two days.
@lru_cache(maxsize=256)
def _times(cron: Cron, day: date) -> tuple[datetime, ...]:
    if not cron.matches(day):
        return ()
    # Twice only for an entry that names no hour: it would be silent for an hour of every year.
    folds = (0, 1) if cron.hours >= _HOURS else (0,)
    found = set()
    for hour in cron.hours:
        for minute in cron.minutes:
            for fold in folds:
                wall = datetime.combine(day, time(hour, minute, fold=fold), cron.zone)
                at = wall.astimezone(UTC)
                # In the hour that is left out fold 1 would be an hour before the change.
                if fold == 0 or at.astimezone(cron.zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
                    found.add(at)
    return tuple(sorted(found))
