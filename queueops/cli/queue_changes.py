"""queueops queue pause, resume, drain, stuck, unstick."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from queueops.cli import options, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.ops import leases, orgs, queues, resources, status, tasks

commands = verbs()

#: What can be closed, and which of them can be told together.
_TARGETS = (
    click.option("--org", default="", help="This org: in QUEUE, or in all queues."),
    click.option("--resource", default="", type=options.RESOURCE, help="This resource, in all queues."),
    click.option("--task", default="", help="This task: in QUEUE, or in all queues."),
    click.option("--all", "everything", is_flag=True, help="All queues."),
)


def _targets(function: options.F) -> options.F:
    for option in reversed(_TARGETS):
        function = option(function)
    return options.one_queue(function)


def _one_target(queue: str | None, org: str, resource: str, task: str, everything: bool) -> str:
    """The kind of what was named: exactly one of org, resource, task, all, or else the queue."""
    named = {"org": org, "resource": resource, "task": task, "all": everything}
    found = [kind for kind, value in named.items() if value]
    if len(found) > 1:
        raise click.UsageError(f"Name one: --{' or --'.join(found)}.")
    if not found and not queue:
        raise click.UsageError("Name a queue, or say --org, --resource, --task or --all.")
    if queue and found in (["resource"], ["all"]):
        raise click.UsageError(f"--{found[0]} concerns all queues: leave out {queue}.")
    return found[0] if found else "queue"


@commands.command()
@_targets
@click.option("--for", "length", type=options.DURATION, help="It opens by itself after this: 30m, 24h.")
@click.option("--until", "moment", type=options.MOMENT, help="It opens by itself at this time.")
@click.option("--reason", default="", help="Why, for whoever finds it closed.")
def pause(
    call: Call,
    queue: str | None,
    org: str,
    resource: str,
    task: str,
    everything: bool,
    length: timedelta | None,
    moment: datetime | None,
    reason: str,
) -> Answer:
    """Close a queue, or an org, a resource, a task, or all queues: what runs goes on, nothing starts."""
    kind = _one_target(queue, org, resource, task, everything)
    until = options.until(length, moment)
    if kind == "org":
        orgs.pause(call.actor, org, queue or "", until=until, reason=reason)
        closed = [f"org {org} in {queue or 'all queues'}"]
    elif kind == "resource":
        resources.pause(call.actor, resource, until=until, reason=reason)
        closed = [f"resource {resource}"]
    elif kind == "task":
        found = tasks.pause(call.actor, task, queue or "", until=until, reason=reason)
        closed = [f"task {task} in {name}" for name in found]
    elif kind == "all":
        closed = [f"queue {name}" for name in queues.pause_all(call.actor, until=until, reason=reason)]
    else:
        queues.pause(call.actor, str(queue), until=until, reason=reason)
        closed = [f"queue {queue}"]
    ends = f"until {tables.cell(until)}" if until else "until resumed"
    return Answer(
        {"paused": closed, "until": until, "reason": reason}, [f"Paused {ends}: {', '.join(closed)}."]
    )


@commands.command()
@_targets
@click.option("--ramp", type=options.DURATION, help="Open gradually over this time (queues only): 10m.")
def resume(
    call: Call,
    queue: str | None,
    org: str,
    resource: str,
    task: str,
    everything: bool,
    ramp: timedelta | None,
) -> Answer:
    """Open what `pause` has closed; with --ramp a queue starts with one job at a time."""
    kind = _one_target(queue, org, resource, task, everything)
    if ramp and kind not in ("queue", "all"):
        raise click.UsageError("Only queues are opened gradually: leave out --ramp.")
    if kind == "org":
        opened = [f"org {org} in {queue or 'all queues'}"] * bool(orgs.resume(call.actor, org, queue or ""))
    elif kind == "resource":
        opened = [f"resource {resource}"] * resources.resume(call.actor, resource)
    elif kind == "task":
        opened = [f"task {task} in {name}" for name in tasks.resume(call.actor, task, queue or "")]
    elif kind == "all":
        opened = [f"queue {name}" for name in queues.resume_all(call.actor, ramp=ramp)]
    else:
        opened = [f"queue {queue}"] * queues.resume(call.actor, str(queue), ramp=ramp)
    slowly = f", growing over {tables.span(ramp.total_seconds())}" if ramp else ""
    told = f"Resumed{slowly}: {', '.join(opened)}." if opened else "Nothing was paused."
    return Answer({"resumed": opened, "ramp": ramp}, [told])


@commands.command(asks=True, rehearses=True)
@options.needed_queue
@click.option("--delay", type=options.DURATION, help="What waits, waits so much longer: 24h.")
@click.option("--until", "moment", type=options.MOMENT, help="What waits, waits until this time.")
@click.option("--remove", is_flag=True, help="What waits is deleted, for good.")
def drain(call: Call, queue: str, delay: timedelta | None, moment: datetime | None, remove: bool) -> Answer:
    """Empty a queue of what waits: to later, or for good. What runs goes on.

    It goes in steps and is not atomic; stopped half-way it has done half. The same command goes on; instead
    of --delay give it --until with the time that was told, or what was put off is put off again.
    """
    if sum(map(bool, (delay, moment, remove))) != 1:
        raise click.UsageError("Say how to drain: --delay 24h, --until TIME, or --remove.")
    what = "deleted, for good" if remove else f"put off until {tables.cell(options.until(delay, moment))}"
    if call.dry_run:
        waiting = _waiting(call, queue)
        told = f"{tables.plural(waiting, 'job')} of {queue} would be {what}. Nothing was done."
        return Answer({"queue": queue, "count": waiting, "dry_run": True}, [told])
    total = None
    if not call.yes:
        total = _waiting(call, queue)
        call.confirm(f"Have {tables.plural(total, 'job')} of {queue} {what}?")
    with call.progress(f"Draining {queue}", total) as advance:
        done = queues.drain(call.actor, queue, delay=delay, until=moment, remove=remove, progress=advance)
    became = f"put off until {tables.cell(done.until)}" if done.until else "deleted"
    return Answer(done, [f"{tables.plural(done.count, 'job')} of {queue} {became}."])


def _waiting(call: Call, queue: str) -> int:
    [seen] = status.status(call.actor, queue).queues
    return seen.queued + seen.scheduled


@commands.command()
@options.one_queue
@click.option("--older-than", type=options.DURATION, default="10m", show_default=True, help="Leased longer.")
def stuck(call: Call, queue: str | None, older_than: timedelta) -> Answer:
    """List jobs that are leased for too long, or past their run limit; the longest first."""
    found = leases.stuck(call.actor, minutes=older_than.total_seconds() / 60, queue=queue or "")
    lines = tables.table(
        found,
        ("task id", lambda one: one.row.task_id),
        ("queue", lambda one: one.row.queue),
        ("org", lambda one: one.row.org),
        ("leased", lambda one: tables.span(one.seconds)),
        ("past limit", lambda one: one.past_run_limit),
        ("holder", lambda one: one.row.holder),
        ("task", lambda one: one.row.task),
        empty="No job is stuck.",
    )
    return Answer(found, lines)


@commands.command(asks=True, rehearses=True)
@options.one_queue
@click.option("--job", "task_ids", multiple=True, metavar="ID", help="This job; may be given many times.")
@click.option("--older-than", type=options.DURATION, default="10m", show_default=True, help="Leased longer.")
@click.option("--to-dead", is_flag=True, help="To the dead letters, and not back to their lanes.")
def unstick(
    call: Call, queue: str | None, task_ids: tuple[str, ...], older_than: timedelta, to_dead: bool
) -> Answer:
    """Stop jobs that are stuck and give them back to their lanes, or to the dead letters.

    A living job is never handed to a second worker: what cannot be stopped is refused, unless --to-dead.
    """
    if not task_ids and not queue:
        raise click.UsageError("Name a queue, or jobs with --job.")
    chosen = list(task_ids)
    if not chosen:
        found = leases.stuck(call.actor, minutes=older_than.total_seconds() / 60, queue=queue or "")
        chosen = [one.row.task_id for one in found]
    where = "made dead letters" if to_dead else "given back"
    if call.dry_run or not chosen:
        told = f"{tables.plural(len(chosen), 'job')} would be stopped and {where}: {', '.join(chosen)}."
        data = {"count": len(chosen), "jobs": chosen, "dry_run": call.dry_run}
        return Answer(data, [told if chosen else "No job is stuck."])
    call.confirm(f"Stop {tables.plural(len(chosen), 'job')}, to be {where}?")
    done = []
    with call.progress("Unsticking", len(chosen)) as advance:
        for task_id in chosen:
            done.append(leases.unstick(call.actor, task_id, to="dead" if to_dead else "lane"))
            advance(len(done))
    left = any(one.word == "refused" for one in done)
    return Answer(done, tables.table(done, "task_id", "word", "told"), code=int(left))
