"""queueops worker status, start, scale, quiet, unquiet, restart, stop, wanted."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NoReturn

import click

from queueops.cli import options, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.conf import config
from queueops.ops import scaling, workers
from queueops.ops.permissions import OPERATE_WORKER, Actor

commands = verbs()


def _workers() -> list[str]:
    return [one.name for one in workers.listed(Actor.system("completion"), current=0)]


_WORKER = options.Known("worker", _workers)
_NAMES = click.argument("names", metavar="[WORKER]...", nargs=-1, type=_WORKER)
_EVERY = click.option("--all", "everything", is_flag=True, help="All workers.")


@commands.command(watch=True)
@options.one_queue
@click.option("--jobs", type=click.IntRange(0), default=5, show_default=True, help="Current jobs of each.")
@options.limit(1_000)
def status(call: Call, queue: str | None, jobs: int, limit: int) -> Answer:
    """Show the workers: pool, slots, queues, memory, what they have done and what they do now."""
    found = workers.listed(call.actor, queue, current=jobs)[:limit]
    lines = tables.table(
        found,
        ("worker", lambda one: one.name),
        "pool",
        "slots",
        ("jobs", lambda one: one.jobs),
        "processed",
        ("memory", lambda one: tables.size(one.memory_bytes)),
        ("started", lambda one: tables.ago(one.started_at)),
        ("last beat", lambda one: tables.ago(one.last_beat_at)),
        "version",
        ("is", lambda one: "stopping" if one.stopping else "quiet" if one.quiet else "working"),
        "queues",
        ("current", lambda one: [f"{job.task} {tables.span(job.seconds)}" for job in one.current]),
        empty="No worker is registered. `queueops worker start QUEUE` starts one.",
    )
    return Answer(found, lines)


@commands.command(needs=OPERATE_WORKER)
@options.one_queue
@click.option("--slots", "-c", type=click.IntRange(1), help="Jobs at once; else as configured.")
@click.option("--pool", type=click.Choice(["prefork", "threads", "gevent", "solo"]), help="How it runs jobs.")
@click.option("--name", default="", help="Its name; else one that no other has.")
@click.option("--show", is_flag=True, help="Only print the command.")
def start(
    call: Call, queue: str | None, slots: int | None, pool: str | None, name: str, show: bool
) -> Answer:
    """Start a worker in this terminal, of one queue or of all; Ctrl-C has it end its jobs and stop."""
    queues = [queue] if queue else sorted(config().queues)
    line = workers.command(queues, slots, pool=pool or "", name=name)
    if not show and not call.as_json:
        _become(line)
    return Answer({"command": line}, [line])


def _become(line: str) -> NoReturn:
    click.echo(line, err=True)
    # In this process's place, so that signals and its end reach whoever started this.
    os.execv(sys.executable, [sys.executable, "-m", *shlex.split(line)])


@commands.command()
@click.argument("queue", type=options.QUEUE)
@click.argument("slots", metavar="[SLOTS]", type=click.IntRange(1), required=False)
@click.option("--count", type=click.IntRange(1), help="The same as SLOTS.")
@click.option("--auto", is_flag=True, help="End such a setting: the rule holds again.")
@click.option("--for", "length", type=options.DURATION, help="The rule holds again after this: 2h.")
@click.option("--until", "moment", type=options.MOMENT, help="The rule holds again at this time.")
def scale(
    call: Call,
    queue: str,
    slots: int | None,
    count: int | None,
    auto: bool,
    length: timedelta | None,
    moment: datetime | None,
) -> Answer:
    """Have the live workers of a queue run so many jobs at once together.

    Where their pools cannot change it says which command starts another process.
    """
    wanted = slots or count
    if bool(wanted) == auto:
        raise click.UsageError("Say how many slots, or --auto.")
    if auto or wanted is None:
        ended = scaling.unscale(call.actor, queue)
        told = "The rule holds again" if ended else "Nothing was set by hand"
        return Answer({"queue": queue, "ended": ended}, [f"{told} in {queue}."])
    done = scaling.scale(call.actor, queue, wanted, until=options.until(length, moment))
    rows = tables.table(done.by_worker.items(), ("worker", _first), ("slots", _second), empty="")
    line = f"{queue}: {done.before:,} slots before, {done.after:,} now. {done.told}"
    return Answer(done, [line, *filter(None, rows)], code=0 if done.after == wanted else 1)


def _first(pair: tuple[str, int]) -> str:
    return pair[0]


def _second(pair: tuple[str, int]) -> int:
    return pair[1]


@commands.command()
@options.one_queue
def wanted(call: Call, queue: str | None) -> Answer:
    """Tell how many slots each queue wants, and why."""
    found = scaling.wanted(call.actor, queue)
    lines = tables.table(
        found,
        "queue",
        ("workers", lambda one: one.workers_now),
        ("slots", lambda one: one.slots_now),
        "wanted",
        "follows",
        ("held by", lambda one: one.held_by),
        ("until", lambda one: one.held_until),
        "reason",
    )
    return Answer(found, lines)


_Verb = Callable[[Actor, list[str]], list[workers.WorkerAnswer]]


def _each(call: Call, names: tuple[str, ...], everything: bool, verb: _Verb, question: str = "") -> Answer:
    if bool(names) == everything:
        raise click.UsageError("Name workers, or say --all.")
    actor = call.actor
    chosen = list(names) if names else [one.name for one in workers.listed(actor, current=0)]
    if question:
        call.confirm(question.format(tables.plural(len(chosen), "worker")))
    done = verb(actor, chosen)
    failed = any(one.word in ("cannot", "silent") for one in done)
    lines = tables.table(done, ("worker", lambda one: one.name), "word", "told", empty="No worker is there.")
    return Answer(done, lines, code=int(failed))


@commands.command()
@_NAMES
@_EVERY
def quiet(call: Call, names: tuple[str, ...], everything: bool) -> Answer:
    """Have workers take no new job; what runs ends, what they had claimed ahead goes back."""
    return _each(call, names, everything, workers.quiet)


@commands.command()
@_NAMES
@_EVERY
def unquiet(call: Call, names: tuple[str, ...], everything: bool) -> Answer:
    """Have quiet workers take jobs again."""
    return _each(call, names, everything, workers.unquiet)


@commands.command(asks=True)
@_NAMES
@_EVERY
def restart(call: Call, names: tuple[str, ...], everything: bool) -> Answer:
    """Replace the children of prefork workers, each when it has ended its job."""
    return _each(call, names, everything, workers.restart, "Restart {}?")


@commands.command(asks=True)
@_NAMES
@_EVERY
def stop(call: Call, names: tuple[str, ...], everything: bool) -> Answer:
    """End workers: running jobs end first, the rest goes back."""
    return _each(call, names, everything, workers.stop, "Stop {}?")
