"""Numbers, times and limits as people read them; each function is a filter of the templates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from queueops.admin.pretty import moment
from queueops.models import UNLIMITED
from queueops.ops.health import Signal
from queueops.ops.orgs import OrgRow, OrgStats
from queueops.ops.panic import Status
from queueops.ops.resolution import Sourced
from queueops.ops.status import QueueStatus

#: The functions that templates use.
FILTERS = (
    "calls", "closed_until", "count", "duration", "failed_share", "given", "limit", "memory",
    "milliseconds", "of", "oldest", "org_limits", "paused", "per_second", "percent", "seconds_since",
    "seconds_until", "share_of", "signal", "state_kind", "total", "when", "why", "words",
)  # fmt: skip

__all__ = ["FILTERS", *FILTERS]

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_STATE_KINDS = {
    "leased": "open",
    "succeeded": "open",
    "dead": "closed",
    "astray": "closed",
    "blocked": "parked",
    "scheduled": "later",
}


def count(value: float | None) -> str:
    """A number with separators; a dash for one that nobody knows."""
    return "–" if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """A time span, as 12 ms, 3.4 s, 5 min 10 s, 2 h 10 min."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    place = next(place for place, (size, _) in enumerate(_UNITS) if seconds >= size)
    (size, unit), (smaller, small_unit) = _UNITS[place], _UNITS[place + 1]
    whole, rest = divmod(int(seconds), size)
    return (
        f"{whole} {unit} {rest // smaller} {small_unit}"
        if whole < 10 and rest >= smaller
        else f"{whole} {unit}"
    )


def percent(share: float | None) -> str:
    """A share, 0 to 1, as 3.4 %."""
    if share is None:
        return "–"
    return f"{share * 100:.1f} %" if 0 < share < 0.1 else f"{share * 100:.0f} %"


def per_second(rate: float | None) -> str:
    """Jobs a second, or a minute where that reads better."""
    if rate is None:
        return "–"
    if rate >= 1:
        return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"
    return f"{rate * 60:.1f}/min" if rate else "0/s"


def memory(number: int | None) -> str:
    """Bytes as MiB."""
    return "–" if number is None else f"{number / 2**20:,.0f} MiB"


def milliseconds(value: float) -> float:
    """Milliseconds as seconds."""
    return value / 1000


def when(value: float | None) -> datetime | None:
    """The moment that many ms after 1970; None for 0."""
    return datetime.fromtimestamp(value / 1000, UTC) if value else None


def seconds_since(at_ms: float, now_ms: float) -> float:
    """Seconds from a moment to a later one, both in ms."""
    return max(0.0, (now_ms - at_ms) / 1000)


def seconds_until(at_ms: float, now_ms: float) -> float:
    """Seconds from the second moment to the first one, both in ms."""
    return max(0.0, (at_ms - now_ms) / 1000)


def share_of(part: float, whole: float | None) -> float | None:
    """The part of the whole, 0 to 1; None without a whole."""
    return part / whole if whole else None


def failed_share(status: QueueStatus) -> float | None:
    """Failed attempts of those that ended in the last hour; None when none ended."""
    return share_of(status.failed_last_hour, status.ended_last_hour)


_SIGNALS: Mapping[str, tuple[str, Callable[[float | None], str]]] = {
    "active_share": ("in use", percent),
    "waiting": ("waiting", count),
    "failure_share": ("failed in an hour", percent),
    "wait_seconds": ("wait", duration),
}


def signal(one: Signal) -> str:
    """A signal in words, with the threshold that it has passed."""
    label, said = _SIGNALS[one.name]
    passed = one.unhealthy_at if one.level == "unhealthy" else one.degraded_at
    return f"{label} {said(one.value)}, {one.level} from {said(passed)}"


def state_kind(state: str) -> str:
    """The colour of a job's state."""
    return _STATE_KINDS.get(state, "")


def closed_until(row: OrgRow) -> str:
    """Until when a gate of the org is closed, in words."""
    if row.gate == "pause":
        until = row.paused.until_ms if row.paused else 0
        return f"until {moment(when(until))}" if until else "until resumed"
    if row.gate in ("org_concurrency", "org_share", "queue_concurrency") or row.closed_until is None:
        return "until a slot is free"
    return f"for {duration(max((row.closed_until - timezone.now()).total_seconds(), 0))}"


def oldest(rows: Iterable[OrgRow]) -> float | None:
    """The longest wait of these rows, in seconds."""
    return max((row.oldest_wait_seconds for row in rows if row.oldest_wait_seconds is not None), default=None)


def paused(rows: Iterable[OrgRow]) -> bool:
    """Whether the org is paused in any of these rows."""
    return any(row.paused for row in rows)


def why(stats: OrgStats, queue: str) -> Sequence[str]:
    """What the org's ready jobs in the queue wait for, in sentences."""
    return stats.why.get(queue, ())


def org_limits(stats: OrgStats) -> Iterator[tuple[str, str, Sourced]]:
    """The limits that somebody has set, as (queue, name, value with its source)."""
    for queue, resolved in stats.limits.items():
        for name, field in resolved.fields.items():
            if field.source not in ("default", "default org"):
                yield queue, name, field


def limit(value: Any) -> str:
    """A limit's value."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None or value == UNLIMITED:
        return "no limit"
    return (
        f"{value:,.6g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )


def calls(panic: Status) -> float:
    """Calls in the breaker's window."""
    return panic.good + panic.bad


def total(values: Iterable[int]) -> int:
    """Their sum."""
    return sum(values)


def of(found: Mapping[str, Mapping[str, int]], key: str) -> Iterable[tuple[str, int]]:
    """The items of the mapping under the key."""
    return found.get(key, {}).items()


def words(name: str) -> str:
    """A name as words: max_in_flight is "max in flight"."""
    return name.replace("_", " ")


def given(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What an audit entry was asked with, in words; what stayed as it was is left out."""
    for name, value in parameters.items():
        is_change = isinstance(value, list) and len(value) == 2
        if not (is_change and not any(value)):
            yield words(name), " → ".join(map(_brief, value)) if is_change else _brief(value)


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{words(key)} {_brief(one)}" for key, one in value.items())
    if isinstance(value, list):
        more = f" and {len(value) - 3} more" if len(value) > 3 else ""
        return ", ".join(map(_brief, value[:3])) + more
    if value is None or value == "":
        return "–"
    when = parse_datetime(value) if isinstance(value, str) and "T" in value else None
    return moment(when) if when and when.tzinfo else str(value)
