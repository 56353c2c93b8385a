"""Small pictures of numbers as SVG, which need neither scripts nor styles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from queueops.ops.stats import Point

__all__ = ["bars", "meter", "points"]

_WIDTH, _HEIGHT = 120, 28


def bars(values: Sequence[float], kind: str = "", label: str = "") -> SafeString:
    """A row of bars, oldest first; `label` says the same in words."""
    most = max(values, default=0)
    if not most:
        return mark_safe("")
    wide = _WIDTH / len(values)
    drawn = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"></rect>',
        (
            (
                f"{place * wide:.2f}",
                f"{_HEIGHT - max(value / most * _HEIGHT, 1):.2f}",
                f"{max(wide - 0.6, 0.6):.2f}",
                f"{max(value / most * _HEIGHT, 1):.2f}",
            )
            for place, value in enumerate(values)
            if value
        ),
    )
    return format_html(
        '<svg class="qd-bars {}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="{}">{}</svg>',
        kind,
        _WIDTH,
        _HEIGHT,
        label,
        drawn,
    )


def meter(share: float | None, kind: str = "") -> SafeString:
    """How full something is, 0 to 1."""
    if share is None:
        return mark_safe("")
    return format_html(
        '<svg class="qd-meter {}" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="qd-rail" width="100" height="4"></rect><rect width="{}" height="4"></rect></svg>',
        kind,
        f"{min(max(share, 0), 1) * 100:.1f}",
    )


def points(series: Sequence[Point]) -> dict[str, list[Any]]:
    """A series for the charts in the browser: times in s, and what happened in each whole minute or hour."""
    found = series[:-1]  # the last one is still running, and would look like a fall
    return {
        "at": [round(point.start.timestamp()) for point in found],
        "succeeded": [point.succeeded for point in found],
        "failed": [point.failed for point in found],
        "wait": [point.mean_wait_seconds for point in found],
        "run": [point.mean_run_seconds for point in found],
    }
