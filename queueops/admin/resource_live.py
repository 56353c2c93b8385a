"""What holds now for a resource, drawn beside its row."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from queueops.admin.live import number
from queueops.admin.pretty import ago, moment, pill
from queueops.models import UNLIMITED, Resource
from queueops.ops import panic
from queueops.ops.panic import Status
from queueops.ops.resources import LiveResource

__all__ = ["breaker", "drawn", "gate", "limits_of", "picture", "sources", "waiting"]

_WORDS = {
    "rate": "{} a minute",
    "burst": "burst {}",
    "max_in_flight": "{} in flight",
    "failure_share": "opens at {:.0%} failed",
    "min_calls": "from {} calls on",
    "window_seconds": "in {:g} s",
    "open_seconds": "for {:g} s",
    "longest_open_seconds": "at most {:g} s",
    "probes": "{} probes",
}


def limits_of(row: Resource) -> SafeString:
    """What the row itself says; inherited fields are left out."""
    said = []
    for field in Resource.FIELDS:
        value = getattr(row, field)
        if value in (None, ""):
            continue
        if field == "rate":
            said.append("no rate" if value == str(UNLIMITED) else value)
        elif field == "breaker":
            said.append(f"breaker {value}")
        elif value == UNLIMITED:
            said.append(f"{_name(field)} unlimited")
        else:
            said.append(_WORDS[field].format(value))
    return _said(said)


def picture(one: LiveResource | None) -> SafeString:
    """Jobs in flight and waiting, what is left of the rate, and whether the broker differs from the rows."""
    if one is None:
        return mark_safe('<span class="qo-quiet">not known</span>')
    seen = one.snapshot
    counts = [(f"{seen.in_flight:,}", "in flight"), (f"{sum(seen.waiting.values()):,}", "waiting")]
    if seen.rate_left is not None:
        counts.append((f"{seen.rate_left:,}", "of the rate left"))
    told = format_html_join("", '<span class="qo-said"><b>{}</b> {}</span>', counts)
    return format_html("{} {}", told, pill("drift")) if one.drift else told


def gate(one: LiveResource | None) -> SafeString:
    """The first gate that is closed, and until when; or open."""
    if one is None:
        return mark_safe("–")
    seen = one.snapshot
    if not seen.gate:
        return pill("open")
    return format_html('{}<span class="qo-under">{}</span>', pill(seen.gate, "closed"), _until(one))


def _until(one: LiveResource) -> str:
    seen, status = one.snapshot, panic.status_of(one.snapshot)
    if seen.gate == "pause":
        ends = seen.paused.until_ms if seen.paused else 0
        return f"until {moment(panic.at(ends))}" if ends else "until resumed"
    if seen.gate == "resource_breaker":
        return _next(status)
    if seen.gate == "resource_concurrency" or seen.closed_until_ms is None:
        return "until a slot is free"
    return f"for {max(seen.closed_until_ms - seen.now_ms, 0) / 1000:.1f} s"


def breaker(one: LiveResource | None) -> SafeString:
    """The breaker's state, since when and why, what comes next, and how often it opened in a row."""
    if one is None:
        return mark_safe("–")
    status = panic.status_of(one.snapshot)
    if status.state == "closed":
        if one.snapshot.limits is None or one.snapshot.limits.breaker is None:
            return mark_safe('<span class="qo-quiet">none</span>')
        calls = f"{status.bad:.0f} of {status.good + status.bad:.0f} calls failed"
        return format_html('{}<span class="qo-under">{}</span>', pill("closed", "open"), calls)
    why = status.reason or "no reason given"
    by = f"by {status.by}" if status.by_hand else f"opened {status.opens} in a row"
    return format_html(
        '{} {}<span class="qo-under">{}; {}; {}</span>',
        pill(
            "panic" if status.state == "open" else "half open",
            "closed" if status.state == "open" else "drift",
        ),
        ago(status.since),
        why,
        by,
        _next(status),
    )


def _next(status: Status) -> str:
    if status.state == "half_open":
        return f"{status.probes_out} probes out"
    if status.next_at is None:
        return "until ended by hand"
    seconds = max((status.next_at - timezone.now()).total_seconds(), 0)
    return f"probes in {seconds:.0f} s" if seconds < 120 else f"probes at {moment(status.next_at)}"


def waiting(one: LiveResource) -> SafeString:
    """Jobs that wait for the resource, by queue."""
    found = sorted(one.snapshot.waiting.items())
    if not found:
        return mark_safe('<span class="qo-quiet">none</span>')
    return format_html_join(
        "", '<span class="qo-said"><b>{}</b> in {}</span>', ((f"{count:,}", queue) for queue, count in found)
    )


def sources(one: LiveResource) -> list[tuple[str, str, str]]:
    """Each limit that holds, as (name, value, where it comes from)."""
    return [(_name(name), _shown(field.value), field.source) for name, field in one.resolved.fields.items()]


def drawn(one: LiveResource) -> dict[str, Any]:
    """All of it, for a template."""
    return {
        "one": one,
        "now": picture(one),
        "breaker": breaker(one),
        "gate": gate(one),
        "waiting": waiting(one),
        "sources": sources(one),
    }


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return number(value)  # type: ignore[arg-type]


def _said(words: list[str]) -> SafeString:
    return format_html_join("", '<span class="qo-said">{}</span>', ((word,) for word in words))


def _name(field: str) -> str:
    return str(Resource._meta.get_field(field).verbose_name)  # type: ignore[union-attr]
