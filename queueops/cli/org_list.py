"""queueops org list, stats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import click

from queueops.cli import options, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.ops import org_list, org_stats

commands = verbs()


@commands.command("list", watch=True)
@options.one_queue
@click.option(
    "--order",
    type=click.Choice(get_args(org_list.Order)),
    default="waiting",
    show_default=True,
    help="What comes first: most jobs, largest share, longest wait, name.",
)
@click.option("--search", default="", help="Part of the org's name.")
@options.limit(100, 1_000)
def list_(call: Call, queue: str | None, order: org_list.Order, search: str, limit: int) -> Answer:
    """List the orgs that have jobs or are paused, a line for each queue."""
    found = org_list.listed(call.actor, queue, order=order, search=search, limit=limit)
    return Answer(found, _table(found, "No org has jobs."))


def _table(rows: Any, empty: str) -> list[str]:
    return tables.table(
        rows,
        "org",
        "queue",
        "ready",
        "scheduled",
        ("running", lambda one: one.in_flight),
        ("share of run time", lambda one: tables.share(one.share_of_run_time)),
        ("oldest", lambda one: _span(one.oldest_wait_seconds)),
        ("closed by", lambda one: one.gate),
        ("opens", lambda one: tables.ago(one.closed_until)),
        ("rate left", lambda one: one.rate_left),
        ("limits", lambda one: _limits(one.limits)),
        empty=empty,
    )


def _limits(limits: Mapping[str, Any]) -> str:
    told = [
        f"{name} {tables.cell(one.value)} ({one.source})"
        for name, one in limits.items()
        if one.source not in ("default", "default org")
    ]
    return ", ".join(told)


def _span(seconds: float | None) -> str | None:
    return None if seconds is None else tables.span(seconds)


@commands.command()
@options.said_once("org", "The same as ORG.", required=False)
@options.limit(100, 1_000)
def stats(call: Call, org: str | None, limit: int) -> Answer:
    """Show one org in all queues with its limits and where they come from; without ORG the busiest ones."""
    if org is None:
        found = org_list.listed(call.actor, limit=limit)
        return Answer(found, _table(found, "No org has jobs."))
    one = org_stats.stats(call.actor, org)
    lines = tables.facts(
        {
            "org": one.org,
            "ready": one.ready,
            "scheduled": one.scheduled,
            "running": one.in_flight,
            "dead letters": one.letters,
        }
    )
    lines += ["", *_table(one.rows, "")]
    if one.quotas:
        uses = ("used", lambda quota: f"{quota.used:,} of {quota.limit:,}")
        lines += ["", *tables.table(one.quotas, "queue", ("limit", lambda quota: quota.name), uses, "source")]
    lines += [f"{queue}: {reason}" for queue, reasons in one.why.items() for reason in reasons]
    return Answer(one, lines)
