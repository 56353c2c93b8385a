"""queueops queue failures, tasks, error-summary, throughput, slow-jobs: what has happened lately."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from queueops.cli import options, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.engine.history import HOURS_KEPT, HOURS_OF_SLOWEST
from queueops.ops import stats
from queueops.ops.permissions import VIEW_JOBS, VIEW_OPERATIONS

commands = verbs()


def _back(most: int) -> Callable[[Any], Any]:
    return click.option(
        "--hours", type=click.IntRange(1, most), default=1, show_default=True, help="Look back."
    )


_HOURS = _back(HOURS_KEPT)


@commands.command(needs=VIEW_JOBS)
@options.one_queue
@options.limit(20, 1_000)
def failures(call: Call, queue: str | None, limit: int) -> Answer:
    """List the latest failed attempts, newest first, also those that were retried."""
    found = stats.failures(queue, limit=limit)
    lines = tables.table(
        found,
        ("ended", lambda one: tables.at_ms(one.ended_ms)),
        "queue",
        "org",
        "task",
        "task_id",
        "attempt",
        "outcome",
        ("run", lambda one: tables.span(one.run_ms / 1000)),
        "error",
        "message",
        empty="Nothing failed.",
    )
    return Answer(found, lines)


@commands.command(needs=VIEW_OPERATIONS)
@options.one_queue
@_HOURS
@options.limit(50)
def tasks(call: Call, queue: str | None, hours: int, limit: int) -> Answer:
    """Tell what ended by queue and task, the busiest first, and how many duplicates unique keys kept out."""
    found, kept_out = stats.by_task(queue, hours=hours)[:limit], stats.duplicates()
    lines = tables.table(
        found,
        "queue",
        "task",
        "ended",
        "failed",
        ("mean wait", lambda one: _span(one.avg_queue_time_seconds)),
        ("mean run", lambda one: _span(one.avg_execution_time_seconds)),
        ("p95 run", lambda one: _span(one.run.p95_seconds)),
        ("duplicates ever", lambda one: kept_out.get(one.task, 0)),
        empty="Nothing ended.",
    )
    return Answer({"tasks": found, "duplicates": kept_out}, lines)


@commands.command("error-summary", needs=VIEW_OPERATIONS)
@options.one_queue
@_HOURS
@options.limit(50)
def error_summary(call: Call, queue: str | None, hours: int, limit: int) -> Answer:
    """Count the failed attempts by class of error, the most frequent first."""
    found = stats.error_summary(queue, hours=hours)[:limit]
    last = ("last seen", lambda one: tables.ago(one.last_seen))
    return Answer(
        found, tables.table(found, "queue", "error", "count", last, "message", empty="Nothing failed.")
    )


@commands.command(watch=True, needs=VIEW_OPERATIONS)
@options.one_queue
@click.option("--task", default="", help="Only this task.")
@click.option("--minutes", type=click.IntRange(1, 60), help="A line a minute, for so many. [default: 15]")
@click.option("--hours", type=click.IntRange(1, HOURS_KEPT), help="A line an hour, for so many.")
def throughput(call: Call, queue: str | None, task: str, minutes: int | None, hours: int | None) -> Answer:
    """Tell what ended by minute or by hour, oldest first; the last line is still running."""
    if minutes and hours:
        raise click.UsageError("Say --minutes or --hours, not both.")
    found = stats.throughput(queue, task, minutes=None if hours else minutes or 15, hours=hours)
    lines = tables.table(
        found,
        "start",
        "ended",
        "succeeded",
        "failed",
        ("per second", lambda one: one.ended / one.seconds),
        ("mean wait", lambda one: _span(one.mean_wait_seconds)),
        ("mean run", lambda one: _span(one.mean_run_seconds)),
    )
    return Answer(found, lines)


@commands.command("slow-jobs", needs=VIEW_JOBS)
@options.one_queue
@_back(HOURS_OF_SLOWEST)
@options.limit(20, 1_000)
def slow_jobs(call: Call, queue: str | None, hours: int, limit: int) -> Answer:
    """List the longest runs, the longest first."""
    found = stats.slow_jobs(queue, limit=limit, hours=hours)
    lines = tables.table(
        found,
        ("run", lambda one: tables.span(one.run_ms / 1000)),
        ("ended", lambda one: tables.at_ms(one.ended_ms)),
        "queue",
        "org",
        "task",
        "task_id",
        "outcome",
        empty="Nothing ran.",
    )
    return Answer(found, lines)


def _span(seconds: float | None) -> str | None:
    return None if seconds is None else tables.span(seconds)
