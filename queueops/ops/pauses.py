"""What the verbs pause and resume have in common, whatever they close."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from queueops.errors import LimitInvalid

__all__ = ["milliseconds", "ramp_end", "told"]


def milliseconds(moment: datetime | None) -> int:
    """The moment as the engine takes it: ms since 1970, 0 for none."""
    return round(moment.timestamp() * 1000) if moment else 0


def ramp_end(ramp: timedelta | None) -> datetime | None:
    """When a ramp that begins now is over. Raises LimitInvalid for one that cannot be."""
    if ramp is None:
        return None
    if not timedelta(0) < ramp <= timedelta(days=1):
        raise LimitInvalid(f"a ramp takes up to a day, and not {ramp.total_seconds():g} seconds")
    return timezone.now() + ramp


def told(**given: datetime | timedelta | str | None) -> dict[str, Any]:
    """Parameters of a verb as the audit log keeps them: what was not given is left out."""
    return {name: _text(value) for name, value in given.items() if value}


def _text(value: datetime | timedelta | str | None) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{value.total_seconds():g} s" if isinstance(value, timedelta) else str(value)
