"""What holds now for an org, drawn beside its row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from queueops.admin.pretty import moment, pill
from queueops.models import UNLIMITED, OrgLimit
from queueops.ops.limits import LiveLimit

__all__ = ["gate", "limits_of", "picture", "rate_left", "sources"]

_WORDS = {
    "weight": "weight {}",
    "rpm": "{} a minute",
    "burst": "burst {}",
    "max_in_flight": "{} in flight",
    "share": "share {}",
}


def number(value: float | None) -> str:
    """A limit as people write it."""
    if value is None or value == UNLIMITED:
        return "no limit"
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}"


def limits_of(row: OrgLimit) -> SafeString:
    """What the row itself says; inherited fields are left out."""
    said = []
    for name, words in _WORDS.items():
        value = getattr(row, name)
        if value == UNLIMITED:
            said.append(f"{_name(name)} unlimited")
        elif value is not None:
            said.append(words.format(number(value)))
    if row.paused:
        said.append("paused")
    return format_html_join("", '<span class="qo-said">{}</span>', ((word,) for word in said))


def picture(found: Sequence[LiveLimit] | None) -> SafeString:
    """The row's org now, in its queue or summed over all; and whether the broker differs from the rows."""
    if found is None:
        return mark_safe('<span class="qo-quiet">not known</span>')
    in_flight = sum(one.snapshot.in_flight for one in found)
    ready = sum(one.snapshot.ready for one in found)
    scheduled = sum(one.snapshot.scheduled for one in found)
    counts = [(in_flight, "in flight"), (ready, "ready")]
    if scheduled:
        counts.append((scheduled, "scheduled"))
    if len(found) == 1 and found[0].snapshot.rate_left is not None:
        counts.append((found[0].snapshot.rate_left, "of the rate left"))
    told = format_html_join(
        "", '<span class="qo-said"><b>{}</b> {}</span>', ((f"{count:,}", word) for count, word in counts)
    )
    if any(one.drift for one in found):
        told = format_html("{} {}", told, pill("drift"))
    where = f"in {len(found)} queues" if len(found) > 1 else ""
    return format_html('{}<span class="qo-under">{}</span>', told, where)


def gate(found: Sequence[LiveLimit] | None) -> SafeString:
    """The first gate that is closed, with the queue where there are several, and until when; or open."""
    if found is None:
        return mark_safe("–")
    closed = [one for one in found if one.snapshot.gate]
    if not closed:
        return pill("open")
    first = closed[0]
    where = first.queue if len(found) > 1 else ""
    return format_html(
        '{}<span class="qo-under">{} {}</span>', pill(str(first.snapshot.gate), "closed"), where, until(first)
    )


def until(one: LiveLimit) -> str:
    """Until when the org is throttled here, in words."""
    snapshot = one.snapshot
    if snapshot.gate is None:
        return ""
    if snapshot.gate == "pause":
        paused = snapshot.paused
        return f"until {_time(paused.until_ms)}" if paused and paused.until_ms else "until resumed"
    if snapshot.gate in ("org_concurrency", "org_share", "queue_concurrency"):
        return "until a slot is free"
    if snapshot.closed_until_ms is None:
        return ""
    seconds = max(snapshot.closed_until_ms - snapshot.now_ms, 0) / 1000
    return f"for {seconds:.1f} s" if seconds < 120 else f"until {_time(snapshot.closed_until_ms)}"


def rate_left(one: LiveLimit) -> str:
    """Jobs the org could start at once, or that no rate holds it."""
    return "no rate" if one.snapshot.rate_left is None else f"{one.snapshot.rate_left:,}"


def sources(one: LiveLimit) -> list[tuple[str, str, str]]:
    """Each limit that holds, as (name, value, where it comes from)."""
    return [
        (_name(name), number(field.value), field.source)
        for name, field in one.resolved.fields.items()
        if field.value is not None
    ]


def _name(field: str) -> str:
    return str(OrgLimit._meta.get_field(field).verbose_name)  # type: ignore[union-attr]


def _time(milliseconds: int) -> str:
    return moment(datetime.fromtimestamp(milliseconds / 1000, UTC))
