"""queueops schedule list, show, add, enable, disable, run-now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click

from queueops.cli import options, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.ops import schedules

commands = verbs()

_NAMES = click.argument("names", metavar="NAME...", nargs=-1, required=True)


@commands.command("list")
@click.option("--search", default="", help="Part of its name or of its task's.")
@options.limit(100, schedules.MOST)
@click.option("--after", default="", help="Go on after the schedule of this name.")
def list_(call: Call, search: str, limit: int, after: str) -> Answer:
    """List the entries of the schedule by name."""
    found = schedules.listed(call.actor, search=search, limit=limit, after=after)
    lines = tables.table(
        found,
        "id",
        "name",
        "enabled",
        "when",
        ("next", lambda one: one.next_run_at),
        ("last", lambda one: one.last_run_at),
        ("sent", lambda one: one.total_runs),
        "queue",
        "org",
        "task",
        empty="No schedule.",
    )
    more = [f"There may be more: --after '{found[-1].name}'"] if len(found) == limit else []
    return Answer(found, [*lines, *more])


@commands.command()
@click.argument("name")
def show(call: Call, name: str) -> Answer:
    """Show one entry, by its name or its number."""
    one = schedules.shown(call.actor, _said(name))
    return Answer(one, _facts(one))


def _facts(one: schedules.ScheduleRow) -> list[str]:
    return tables.facts(
        {
            "id": one.id,
            "name": one.name,
            "task": one.task,
            "when": one.when,
            "enabled": one.enabled,
            "next": one.next_run_at,
            "last": one.last_run_at,
            "sent": one.total_runs,
            "queue": one.queue,
            "org": one.org,
            "resource": one.resource,
            "priority": one.priority,
            "ends": one.expires_at,
            "args": None if one.args is None else repr(one.args),
            "kwargs": None if one.kwargs is None else repr(one.kwargs),
        }
    )


def _said(name: str) -> int | str:
    return int(name) if name.isdecimal() else name


@commands.command()
@click.argument("name")
@click.argument("task")
@click.option("--cron", default="", help='Minute, hour, day, month, day of the week: "0 0 * * *".')
@click.option("--zone", default="", help="Time zone of --cron: Europe/Berlin.")
@click.option("--every", type=options.DURATION, help="Again and again: 10m.")
@click.option("--at", type=options.MOMENT, help="Once, at this time.")
@click.option("--args", type=options.Json(list), default="[]", help="Arguments as a JSON list.")
@click.option("--kwargs", type=options.Json(dict), default="{}", help="Named arguments as a JSON object.")
@click.option("--queue", type=options.QUEUE, default="", help="Of its jobs.")
@click.option("--org", default="", help="Of its jobs.")
@click.option("--resource", type=options.RESOURCE, default="", help="Of its jobs.")
@click.option("--priority", help="Of its jobs: 0 (sooner) to 10 (later), or a name.")
@click.option("--disabled", is_flag=True, help="It sends nothing until it is enabled.")
def add(
    call: Call,
    name: str,
    task: str,
    every: timedelta | None,
    at: datetime | None,
    disabled: bool,
    **given: Any,
) -> Answer:
    """Make a schedule of a task: by --cron, --every or --at."""
    one = schedules.add(call.actor, name, task, every=every, at=at, enabled=not disabled, **given)
    return Answer(one, _facts(one))


@commands.command()
@_NAMES
def enable(call: Call, names: tuple[str, ...]) -> Answer:
    """Have schedules send jobs from now on; what was missed is not made up for."""
    return _switched(schedules.enable(call.actor, map(_said, names)), "enabled")


@commands.command()
@_NAMES
def disable(call: Call, names: tuple[str, ...]) -> Answer:
    """Have schedules send nothing until they are enabled."""
    return _switched(schedules.disable(call.actor, map(_said, names)), "disabled")


def _switched(done: schedules.Switched, word: str) -> Answer:
    told = f"{word.capitalize()}: {', '.join(done.names)}." if done.names else f"They were {word} already."
    return Answer(done, [told])


@commands.command("run-now")
@_NAMES
def run_now(call: Call, names: tuple[str, ...]) -> Answer:
    """Send a job of each of these schedules now, beside their times."""
    sent = schedules.run_now(call.actor, map(_said, names))
    return Answer({"task_ids": sent}, [f"Sent: {', '.join(sent)}."])
