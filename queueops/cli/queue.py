"""queueops queue list, status, metrics, health: how queues do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from queueops.cli import options, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.engine.types import Pause
from queueops.ops import status as looks
from queueops.ops.health import Level, Signal
from queueops.ops.status import QueueStatus

commands = verbs()


@commands.command("list")
def list_(call: Call) -> Answer:
    """List the queues that settings or broker know."""
    found = looks.status(call.actor).queues
    lines = tables.table(
        found,
        "queue",
        ("jobs", lambda one: one.total_jobs),
        "workers",
        "slots",
        ("cap", lambda one: one.concurrency),
        ("health", lambda one: one.health.level),
        ("closed", lambda one: _paused(one.paused)),
    )
    return Answer(found, lines)


@commands.command(watch=True)
@options.one_queue
def status(call: Call, queue: str | None) -> Answer:
    """Show how all queues do, or one of them in detail."""
    overview = looks.status(call.actor, queue)
    if queue is not None:
        return Answer(overview, _detail(overview.queues[0]))
    return Answer(overview, _overview((*overview.queues, overview.total)))


def _overview(rows: Sequence[QueueStatus]) -> list[str]:
    return tables.table(
        rows,
        ("queue", lambda one: one.queue or "all"),
        ("health", lambda one: one.health.level),
        "queued",
        "running",
        "scheduled",
        "retrying",
        "blocked",
        "throttled",
        ("failed 1h", lambda one: one.failed_last_hour),
        ("letters", lambda one: one.dead_letters_total),
        ("jobs/s", lambda one: one.per_second),
        ("oldest", lambda one: _span(one.oldest_wait_seconds)),
        "slots",
        ("closed", lambda one: _paused(one.paused)),
    )


def _detail(one: QueueStatus) -> list[str]:
    return tables.facts(
        {
            "queue": one.queue,
            "health": one.health.level,
            **{signal.name: _signal(signal) for signal in one.health.signals},
            "closed": _paused(one.paused),
            "opens gradually": tables.ago(one.ramp_until),
            "queued": one.queued,
            "of which throttled": one.throttled,
            "of which past deadline": one.past_deadline,
            "running": one.running,
            "may run at once": one.max_concurrent_jobs,
            "scheduled": one.scheduled,
            "of which retrying": one.retrying,
            "blocked": one.blocked,
            "orgs waiting": one.orgs_waiting,
            "oldest wait": _span(one.oldest_wait_seconds),
            "mean age": _span(one.avg_queue_age_seconds),
            "by priority": one.priority_distribution,
            "dead letters": one.dead_letters_total,
            "workers": f"{tables.plural(one.workers, 'worker')} with {tables.plural(one.slots, 'slot')}",
            "last hour": f"{one.ended_last_hour:,} ended, {one.failed_last_hour:,} failed",
            "jobs a second": one.per_second,
            "mean wait": _span(one.avg_queue_time_seconds),
            "mean run": _span(one.avg_execution_time_seconds),
            "estimated": one.estimated,
        }
    )


@commands.command(watch=True)
@options.one_queue
def metrics(call: Call, queue: str | None) -> Answer:
    """Show the figures of all queues, or of one: rates, times, and counters since the broker began."""
    overview = looks.status(call.actor, queue)
    lines = tables.table(
        overview.queues if queue else (*overview.queues, overview.total),
        ("queue", lambda one: one.queue or "all"),
        ("jobs/s", lambda one: one.per_second),
        ("ended 1h", lambda one: one.ended_last_hour),
        ("succeeded 1h", lambda one: one.succeeded_last_hour),
        ("failed 1h", lambda one: one.failed_last_hour),
        ("mean wait", lambda one: _span(one.avg_queue_time_seconds)),
        ("mean run", lambda one: _span(one.avg_execution_time_seconds)),
        ("mean age", lambda one: _span(one.avg_queue_age_seconds)),
        ("past deadline", lambda one: one.past_deadline),
        ("enqueued ever", lambda one: one.totals.get("enqueued", 0)),
        ("succeeded ever", lambda one: one.totals.get("succeeded", 0)),
        ("dead ever", lambda one: one.totals.get("dead", 0)),
    )
    return Answer(overview, lines)


@commands.command(watch=True)
@options.one_queue
def health(call: Call, queue: str | None) -> Answer:
    """Judge queues by their thresholds; the exit code is 6 unless all of them are healthy."""
    overview = looks.status(call.actor, queue)
    data = {one.queue: one.health for one in overview.queues}
    lines = tables.table(
        overview.queues,
        "queue",
        ("health", lambda one: one.health.level),
        ("signals", lambda one: "; ".join(f"{one.name} {_signal(one)}" for one in one.health.signals)),
    )
    code = 0 if overview.total.health.level is Level.HEALTHY else 6
    return Answer({"level": overview.total.health.level, "queues": data}, lines, code)


def _signal(signal: Signal) -> str:
    if signal.value is None or signal.level is None:
        return "not judged"
    shown = {"active_share": tables.share, "failure_share": tables.share, "wait_seconds": _span}
    form: Any = shown.get(signal.name, tables.cell)
    worse = (
        "" if signal.level is Level.HEALTHY else f" ({signal.level.value} from {form(signal.degraded_at)} on)"
    )
    return f"{form(signal.value)}{worse}"


def _paused(paused: Pause | None) -> str | None:
    if paused is None:
        return None
    ends = f"until {tables.cell(tables.at_ms(paused.until_ms))}" if paused.until_ms else "until resumed"
    return " ".join(
        filter(None, (ends, paused.by and f"by {paused.by}", paused.reason and f"({paused.reason})"))
    )


def _span(seconds: float | None) -> str | None:
    return None if seconds is None else tables.span(seconds)
