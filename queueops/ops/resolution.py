"""Which limits hold for an org in a queue, and where each of them comes from.

Each field resolves by itself: temporary row, row of the queue, row for all queues, environment, settings,
default. So a row that only sets a cap leaves the rate that the settings give.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from queueops.conf import config
from queueops.engine.rules.gates import Limits
from queueops.models import UNLIMITED, OrgLimit

__all__ = ["Resolved", "Sourced", "defaults", "resolve"]


@dataclass(frozen=True, slots=True)
class Sourced:
    """A limit (None: unlimited) and who says so."""

    value: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """The limits of one org in one queue.

    Attributes:
        fields: each limit by name with its source.
        rows: whether any row speaks of this org here; if not, it simply has the queue's default.
        until: when the first of the temporary limits ends that count here; a pause ends by itself.
        paused_until: None: not paused; 0: until resumed; else ms since 1970.
        pause_note: the note of the row that pauses it.
    """

    fields: Mapping[str, Sourced]
    rows: bool
    until: datetime | None
    paused_until: int | None
    pause_note: str

    def limits(self) -> Limits:
        """What the broker is told."""
        values: dict[str, Any] = {name: field.value for name, field in self.fields.items()}
        for name in ("burst", "max_in_flight"):
            values[name] = None if values[name] is None else int(values[name])
        if values["rpm"] is None:
            # A burst alone says nothing: the rate it belongs to was lifted by a row nearer to the org.
            values["burst"] = None
        return Limits(**values, until_ms=_ms(self.until) if self.until else 0)


def resolve(queue: str, org: str, rows: Iterable[OrgLimit], at: datetime) -> Resolved:
    """Resolve the limits of `org` in `queue` at the moment `at`.

    Args:
        rows: the rows of this org; those of other queues and those that have ended are passed over.
    """
    ranked = sorted((row for row in rows if _counts(row, queue, at)), key=_rank)
    base = defaults(queue) if org != config().default_org else _exempt()
    fields = {name: _first(name, ranked) or base[name] for name in OrgLimit.FIELDS}
    ends = [row.valid_until for row in ranked if row.valid_until and row.limits_something()]
    pauses = [row for row in ranked if row.paused]
    paused_until = None
    if pauses:
        paused_until = max(_ms(row.valid_until) if row.valid_until else 0 for row in pauses)
        if any(row.valid_until is None for row in pauses):
            paused_until = 0
    return Resolved(
        fields, bool(ranked), min(ends, default=None), paused_until, pauses[0].note if pauses else ""
    )


def defaults(queue: str) -> dict[str, Sourced]:
    """The limits of an org without a row: from the environment, the settings, or none at all."""
    settings = config()
    given = settings.queue(queue).limits
    found: dict[str, Sourced] = {}
    for name in OrgLimit.FIELDS:
        if name in given:
            found[name] = Sourced(given[name], settings.source(f"QUEUES.{queue}.limits.{name}"))
        else:
            found[name] = Sourced(1.0 if name == "weight" else None, "default")
    return found


def _exempt() -> dict[str, Sourced]:
    # A plain project's jobs all belong to the default org: limits meant for one tenant would throttle it all.
    return {name: Sourced(1.0 if name == "weight" else None, "default org") for name in OrgLimit.FIELDS}


def _counts(row: OrgLimit, queue: str, at: datetime) -> bool:
    return row.queue in ("", queue) and (row.valid_until is None or row.valid_until > at)


def _rank(row: OrgLimit) -> tuple[bool, bool]:
    return row.valid_until is None, row.queue == ""


def _first(name: str, ranked: Iterable[OrgLimit]) -> Sourced | None:
    for row in ranked:
        value = getattr(row, name)
        if value is not None:
            return Sourced(None if value == UNLIMITED else value, f"row {row}")
    return None


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
