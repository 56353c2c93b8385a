"""queueops resource list, set-limit, reset-limit."""

from __future__ import annotations

from typing import Any

import click

from queueops.cli import options, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.ops import resources

commands = verbs()

_NO_LIMIT = "-1 is no limit."


@commands.command("list", watch=True)
@click.argument("names", metavar="[RESOURCE]...", nargs=-1, type=options.RESOURCE)
@click.option("--search", default="", help="Part of the name.")
@options.limit(100)
def list_(call: Call, names: tuple[str, ...], search: str, limit: int) -> Answer:
    """List resources with their limits, where each comes from, and what holds now."""
    found = resources.listed(call.actor, names or None, search=search, limit=limit)
    lines = tables.table(
        found,
        ("resource", lambda one: one.name),
        ("running", lambda one: one.snapshot.in_flight),
        ("waiting", lambda one: sum(one.snapshot.waiting.values())),
        ("closed by", lambda one: one.snapshot.gate),
        ("breaker", lambda one: one.snapshot.breaker),
        ("rate left", lambda one: one.snapshot.rate_left),
        ("limits", lambda one: _limits(one.resolved)),
        empty="No resource is known.",
    )
    return Answer(found, lines)


def _limits(resolved: Any) -> str:
    told = [f"{name} {tables.cell(one.value)} ({one.source})" for name, one in resolved.fields.items()]
    return ", ".join(told)


@commands.command("set-limit")
@click.argument("resource", type=options.RESOURCE)
@click.option("--rate", help=f"Jobs started: 10/s, 5/m, 100/h, 1000/d. {_NO_LIMIT}")
@click.option("--burst", type=int, help="Jobs that may start at once after a quiet time.")
@click.option("--max", "max_in_flight", type=int, help=f"Jobs running at once. {_NO_LIMIT}")
@click.option("--breaker", type=click.Choice(["on", "off"]), help="Whether it closes by itself.")
@click.option("--failure-share", type=float, help="Part of the calls that must fail, up to 1.")
@click.option("--min-calls", type=int, help="With fewer in the window it does not open.")
@click.option("--window", "window_seconds", type=float, metavar="SECONDS", help="Calls that are looked at.")
@click.option("--open", "open_seconds", type=float, metavar="SECONDS", help="How long it opens first.")
@click.option("--longest-open", "longest_open_seconds", type=float, metavar="SECONDS", help="And at most.")
@click.option("--probes", type=int, help="Jobs that must succeed before it closes again.")
@click.option("--note", default="", help="Why.")
def set_limit(call: Call, resource: str, note: str, **values: Any) -> Answer:
    """Change limits of a resource and leave its others, for all orgs and queues together."""
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        raise click.UsageError("Say at least one limit: --rate, --max, --breaker, ...")
    row = resources.set_limit(call.actor, resource, given, note=note)
    told = ", ".join(f"{name} {value}" for name, value in given.items())
    return Answer(row, [f"{resource}: {told}."])


@commands.command("reset-limit")
@click.argument("resource", type=options.RESOURCE)
def reset_limit(call: Call, resource: str) -> Answer:
    """Give a resource its default limits again."""
    count = resources.reset_limit(call.actor, resource)
    told = "has its default limits again" if count else "had no limits of its own"
    return Answer({"resource": resource, "count": count}, [f"{resource} {told}."])
