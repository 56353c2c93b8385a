"""What is printed: what held, and one table by org. Every figure is counted from what happened."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from tasks.demo.checks import Check
from tasks.demo.receiver import TAKEN
from tasks.demo.story import Story


@dataclass(frozen=True, slots=True)
class Row:
    """One org: *retried* counts attempts that followed a failed one, *waits* are seconds to the first."""

    org: str
    sent: int
    delivered: int
    retried: int
    dead: int
    replayed: int
    waits: Sequence[float]


def rows(story: Story) -> list[Row]:
    """Return one row for each org, the one that sent most first."""
    orgs: dict[str, set[str]] = {}
    for event in story.events:
        orgs.setdefault(event.org, set()).add(event.id)
    return sorted((_row(story, org, ids) for org, ids in orgs.items()), key=lambda row: (-row.sent, row.org))


def _row(story: Story, org: str, ids: set[str]) -> Row:
    first: dict[str, float] = {}
    attempts = 0
    for arrival in story.arrivals:
        if arrival.event_id in ids:
            attempts += 1
            first.setdefault(arrival.event_id, arrival.at)
    letters = [letter for letter in story.letters if letter.org == org]
    replayed = sum(letter.pk in story.replayed_ids for letter in letters)
    taken = {arrival.event_id for arrival in story.arrivals if arrival.status == TAKEN}
    return Row(
        org=org,
        sent=len(ids),
        delivered=len(ids & taken),
        # A replay begins another life, whose first attempt is no retry.
        retried=attempts - len(first) - replayed,
        dead=len(letters),
        replayed=replayed,
        waits=[at - story.sent_at[event_id] for event_id, at in first.items()],
    )


def print_checks(console: Console, found: Sequence[Check]) -> None:
    """Print one line for each check."""
    for check in found:
        mark = "[green]ok  [/green]" if check.holds else "[bold red]FAIL[/bold red]"
        console.print(f"{mark} {check.name}: {check.shown}", highlight=False, soft_wrap=True)


def print_table(console: Console, story: Story) -> None:
    """Print the table by org, with all of them in the last line."""
    # As narrow as a terminal of 80 columns: names are not cut, and waits carry their unit below.
    table = Table(
        box=box.SIMPLE_HEAD,
        show_footer=True,
        show_edge=False,
        padding=(0, 0, 0, 1),
        pad_edge=False,
        caption="waited: seconds from sending an event to its first attempt",
    )
    found = rows(story)
    waits = [wait for row in found for wait in row.waits]
    table.add_column("org", footer="all", no_wrap=True)
    for name in ("sent", "delivered", "retried", "dead", "replayed"):
        total = sum(getattr(row, name) for row in found)
        table.add_column(name, footer=str(total), justify="right", no_wrap=True)
    table.add_column("waited\nmedian", footer=_seconds(median(waits)), justify="right", no_wrap=True)
    table.add_column("waited\np95", footer=_seconds(p95(waits)), justify="right", no_wrap=True)
    for row in found:
        counts = (row.sent, row.delivered, row.retried, row.dead, row.replayed)
        times = (_seconds(median(row.waits)), _seconds(p95(row.waits)))
        table.add_row(row.org, *map(str, counts), *times)
    console.print()
    console.print(table)
    console.print()


def print_breaker(console: Console, story: Story) -> None:
    """Print what was seen of the flaky endpoint's breaker."""
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 0, 0, 1),
        pad_edge=False,
        title=f"the breaker of {story.flaky}",
        title_justify="left",
    )
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("held", justify="right", no_wrap=True)
    table.add_column("why")
    begun = min(story.sent_at.values(), default=0.0)
    for change in story.breaker:
        after, state = f"{change.at - begun:.2f} s", change.state.replace("_", " ")
        table.add_row(after, state, str(change.held), change.reason or "-")
    console.print(table)
    console.print()


def median(values: Sequence[float]) -> float | None:
    """Return the median, None of nothing."""
    return statistics.median(values) if values else None


def p95(values: Sequence[float]) -> float | None:
    """Return the smallest value that 95 % of the values do not exceed, None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[-(-95 * len(ordered) // 100) - 1]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
