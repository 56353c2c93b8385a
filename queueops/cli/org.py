"""queueops org set-limit, reset-limit, throttle, pause, resume, forget."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from queueops.cli import options, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.models import OrgLimit
from queueops.ops import forgetting, limits, orgs

commands = verbs()

_ORG = options.said_once("org", "Org.")
_QUEUE = click.option("--queue", type=options.QUEUE, default="", help="Only in this queue.")
_FOR = click.option("--for", "length", type=options.DURATION, help="Ends by itself after this: 2h.")
_UNTIL = click.option("--until", "moment", type=options.MOMENT, help="Ends by itself at this time.")
_NO_LIMIT = "-1 is no limit."
_FORGOTTEN: tuple[str, ...] = (
    "cancelled",
    "stopped",
    "running",
    "letters_purged",
    "limits_removed",
    "schedules_disabled",
)
_FORGOTTEN += ("results_masked", "entries_masked")


@commands.command("set-limit")
@_ORG
@_QUEUE
@click.option("--max", "max_in_flight", type=int, help=f"Jobs running at once. {_NO_LIMIT}")
@click.option("--rpm", type=float, help=f"Jobs started in a minute. {_NO_LIMIT}")
@click.option("--burst", type=int, help="Jobs that may start at once after a quiet time.")
@click.option("--weight", type=float, help="Share relative to other orgs; 1 is usual.")
@click.option("--share", type=float, help=f"Part of the queue's slots, up to 1. {_NO_LIMIT}")
@_FOR
@_UNTIL
@click.option("--note", default="", help="Why.")
def set_limit(
    call: Call,
    org: str,
    queue: str,
    length: timedelta | None,
    moment: datetime | None,
    note: str,
    **values: float | None,
) -> Answer:
    """Change limits of an org and leave its others; with --for or --until they end by themselves."""
    given = {name: value for name, value in values.items() if value is not None}
    if not given:
        raise click.UsageError("Say at least one limit: --max, --rpm, --burst, --weight or --share.")
    until = options.until(length, moment)
    return _row(limits.set_limit(call.actor, org, queue, given, valid_until=until, note=note))


@commands.command("reset-limit")
@_ORG
@click.option("--queue", type=options.QUEUE, help="Only what was set for this queue.")
def reset_limit(call: Call, org: str, queue: str | None) -> Answer:
    """Give an org its default limits again; temporary limits and pauses go too."""
    count = limits.reset_limit(call.actor, org, queue)
    told = "has its default limits again" if count else "had no limits of its own"
    return Answer({"org": org, "queue": queue, "count": count}, [f"{org} {told}."])


@commands.command()
@_ORG
@_QUEUE
@click.option("--max", "max_in_flight", type=int, required=True, help="Jobs running at once.")
@click.option(
    "--for",
    "length",
    type=options.DURATION,
    default="1h",
    show_default=True,
    help="Ends by itself after this.",
)
@click.option("--note", default="", help="Why.")
def throttle(call: Call, org: str, queue: str, max_in_flight: int, length: timedelta, note: str) -> Answer:
    """Lower an org's cap for a time."""
    until = options.until(length)
    assert until is not None
    return _row(limits.throttle(call.actor, org, queue, max_in_flight, until, note))


def _row(row: OrgLimit) -> Answer:
    told = ", ".join(
        f"{name} {tables.cell(getattr(row, name))}"
        for name in OrgLimit.FIELDS
        if getattr(row, name) is not None
    )
    return Answer(row, [f"{row}: {told}."])


@commands.command()
@_ORG
@_QUEUE
@_FOR
@_UNTIL
@click.option("--reason", default="", help="Why, for whoever finds it closed.")
def pause(
    call: Call, org: str, queue: str, length: timedelta | None, moment: datetime | None, reason: str
) -> Answer:
    """Close an org, in one queue or in all: what runs goes on, nothing of it starts."""
    row = orgs.pause(call.actor, org, queue, until=options.until(length, moment), reason=reason)
    return Answer(row, [f"Paused: {row}."])


@commands.command()
@_ORG
@_QUEUE
def resume(call: Call, org: str, queue: str) -> Answer:
    """Open what `pause` has closed."""
    count = orgs.resume(call.actor, org, queue)
    where = queue or "all queues"
    told = f"Resumed: {org} in {where}." if count else f"{org} was not paused in {where}."
    return Answer({"org": org, "queue": queue, "count": count}, [told])


@commands.command(asks=True, rehearses=True)
@_ORG
def forget(call: Call, org: str) -> Answer:
    """Off-board an org: cancel its jobs, purge its letters, remove its limits, mask its name.

    Stopped half-way it has done half, and the same command does the rest.
    """
    if not call.dry_run:
        call.confirm(f"Forget {org}: cancel its jobs, delete its letters and limits, mask its name?")
    counts: dict[str, int] = {}
    with call.progress(f"Forgetting {org}") as advance:

        def seen(field: str, count: int) -> None:
            counts[field] = count
            advance(sum(counts.values()))

        done = forgetting.forget(call.actor, org, dry_run=call.dry_run, progress=seen)
    told = {name.replace("_", " "): count for name, count in done.counts.items()}
    head = "Nothing was done; this would be:" if call.dry_run else f"{org} is {done.name} from now on."
    left = ["Some of its jobs still run: forget it again when they have ended."] if done.running else []
    return Answer(done, [head, *tables.facts(told), *left], code=1 if left and not call.dry_run else 0)
