"""queueops audit list."""

from __future__ import annotations

import click

from queueops.cli import options, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.models import AuditEntry
from queueops.ops import audit_log

commands = verbs()


@commands.command("list")
@click.option("--verb", default="", help="The word of the operation: replay, pause, set_limit.")
@click.option("--who", default="", help="Who did it.")
@click.option("--target", default="", help="Part of what it was done to: queue bulk.")
@click.option("--surface", type=click.Choice(AuditEntry.Surface.values), help="From where.")
@options.limit(100, audit_log.LONGEST)
@click.option("--after", type=int, help="Go on after the entry with this id.")
def list_(
    call: Call, verb: str, who: str, target: str, surface: str | None, limit: int, after: int | None
) -> Answer:
    """List who did what, newest first."""
    found = audit_log.listed(
        call.actor, verb=verb, who=who, target=target, surface=surface or "", before=after, limit=limit
    )
    lines = tables.table(
        found,
        "id",
        "at",
        "who",
        "surface",
        "verb",
        ("count", lambda one: one.result_count),
        "target",
        ("told", lambda one: one.parameters),
        empty="No entry.",
    )
    if len(found) == limit:
        lines.append(f"There may be more: --after {found[-1].pk}")
    return Answer(found, lines)
