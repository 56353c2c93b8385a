"""queueops panic status, on, off, history."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from queueops.cli import options, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.ops import panic
from queueops.ops.permissions import VIEW_AUDIT, VIEW_OPERATIONS

commands = verbs()

_RESOURCE = click.argument("resource", type=options.RESOURCE)


@commands.command(watch=True, needs=VIEW_OPERATIONS)
@click.argument("resources", metavar="[RESOURCE]...", nargs=-1, type=options.RESOURCE)
def status(call: Call, resources: tuple[str, ...]) -> Answer:
    """Show the resources that are in panic mode, or how these are."""
    found = panic.status(list(resources) or None)
    lines = tables.table(
        found,
        "resource",
        "state",
        ("by", lambda one: one.by or ("a person" if one.by_hand else "itself")),
        ("since", lambda one: tables.ago(one.since)),
        ("next", lambda one: tables.ago(one.next_at)),
        ("held", lambda one: sum(one.held.values())),
        ("calls", lambda one: f"{one.bad:g} of {one.bad + one.good:g} failed"),
        "reason",
        empty="No resource is in panic mode.",
    )
    return Answer(found, lines)


@commands.command(rehearses=True)
@_RESOURCE
@click.option("--for", "length", type=options.DURATION, help="Let probes through after this: 30m.")
@click.option("--until", "moment", type=options.MOMENT, help="Let probes through at this time.")
@click.option("--reason", default="", help="Why, for whoever finds it so.")
def on(call: Call, resource: str, length: timedelta | None, moment: datetime | None, reason: str) -> Answer:
    """Put a resource into panic mode: its jobs are held where they are, and none burns an attempt."""
    if call.dry_run:
        held = panic.dry_run(call.actor, resource)
        told = f"{tables.plural(held.jobs, 'job')} would be held; {held.in_flight:,} run and go on."
        rows = [(queue, org, jobs) for queue, orgs in held.orgs.items() for org, jobs in orgs.items()]
        columns = [(name, lambda row, place=place: row[place]) for place, name in enumerate(_HELD)]
        return Answer(held, [told, *(tables.table(rows, *columns) if rows else [])])
    found = panic.on(call.actor, resource, until=options.until(length, moment), reason=reason)
    ends = f"until {tables.cell(found.next_at)}" if found.next_at else "until `panic off`"
    return Answer(
        found, [f"{resource} is in panic mode {ends}; {tables.plural(sum(found.held.values()), 'job')} held."]
    )


_HELD = ("queue", "org", "jobs")


@commands.command()
@_RESOURCE
def off(call: Call, resource: str) -> Answer:
    """End the panic mode of a resource: its jobs go on at once."""
    ended = panic.off(call.actor, resource)
    told = f"{resource} is open again." if ended else f"{resource} was not in panic mode."
    return Answer({"resource": resource, "ended": ended}, [told])


@commands.command(needs=VIEW_AUDIT)
@_RESOURCE
@options.limit(50, 1_000)
def history(call: Call, resource: str, limit: int) -> Answer:
    """List the panics of a resource and their ends, newest first: by whom, when, why."""
    found = panic.history(resource, limit)
    lines = tables.table(
        found,
        "at",
        "who",
        "verb",
        ("held", lambda one: one.result_count),
        ("told", lambda one: one.parameters),
        empty=f"{resource} was never in panic mode.",
    )
    return Answer(found, lines)
