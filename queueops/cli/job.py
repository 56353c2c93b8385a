"""queueops job list, overdue, info, explain, submit, wait, retry, cancel, hold, release."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click

from queueops.cli import options, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.engine.rules.states import JobState
from queueops.ops import events, jobs
from queueops.ops import submit as submits
from queueops.ops.job_info import JobInfo

commands = verbs()

_IDS = click.argument("task_ids", metavar="ID...", nargs=-1, required=True)
_STATES = [state.value for state in JobState if state in ("scheduled", "blocked", "ready", "leased")]


@commands.command("list")
@options.one_queue
@click.option("--state", type=click.Choice(_STATES), help="State of the job.")
@click.option("--org", default="", help="Org.")
@click.option("--task", default="", help="Name of the task.")
@click.option("--older-than", type=options.DURATION, help="First enqueued longer ago: 10m.")
@options.limit(100)
@click.option("--after", default="0", help="Go on where the page before ended.")
def list_(
    call: Call,
    queue: str | None,
    state: str | None,
    org: str,
    task: str,
    older_than: timedelta | None,
    limit: int,
    after: str,
) -> Answer:
    """List jobs that wait or run, in no order."""
    page = jobs.listed(
        call.actor, queue=queue or "", state=state or "", org=org, task=task, limit=limit, after=after
    )
    rows = page.rows
    if older_than is not None:
        youngest = page.now_ms - older_than.total_seconds() * 1000
        rows = tuple(row for row in rows if row.first_ms and row.first_ms < youngest)
    lines = tables.table(
        rows,
        "task_id",
        "state",
        "queue",
        "org",
        ("age", lambda row: tables.since_ms(row.first_ms, page.now_ms)),
        ("attempt", lambda row: row.attempt + 1),
        "holder",
        "task",
        empty="No job waits or runs here.",
    )
    return Answer({"rows": rows, "after": page.after, "now_ms": page.now_ms}, [*lines, *_more(page.after)])


def _more(after: str | None) -> list[str]:
    return [f"There is more: --after {after}"] if after else []


@commands.command()
@options.one_queue
@options.limit(100)
@click.option("--after", default="0", help="Go on where the page before ended.")
def overdue(call: Call, queue: str | None, limit: int, after: str) -> Answer:
    """List jobs past their deadline that wait or run, the longest overdue first."""
    page = jobs.overdue(call.actor, queue=queue or "", limit=limit, after=after)
    lines = tables.table(
        page.rows,
        "task_id",
        "state",
        "queue",
        "org",
        ("overdue", lambda row: tables.span(row.overdue_ms(page.now_ms) / 1000)),
        "task",
        empty="No job is past its deadline.",
    )
    return Answer(page, [*lines, *_more(page.after)])


@commands.command()
@click.argument("task_id", metavar="ID")
def info(call: Call, task_id: str) -> Answer:
    """Tell all that is known of a job, living or over."""
    found = jobs.info(call.actor, task_id)
    return Answer(found, _facts(found))


def _facts(found: JobInfo) -> list[str]:
    told = {
        "task id": found.task_id,
        "state": found.state,
        "found in": found.source,
        "task": found.task,
        "queue": found.queue,
        "org": found.org,
        "resource": found.resource,
        "priority": found.priority,
        "attempt": f"{found.attempt} of {found.max_attempts or 'as many as its task wants'}",
        "deliveries": found.deliveries,
        "run limit": tables.span(found.run_limit_seconds) if found.run_limit_seconds else None,
        "created": found.created_at,
        "claimed": found.claimed_at,
        "in queue": tables.span(found.queue_seconds) if found.queue_seconds is not None else None,
        "ran": tables.span(found.run_seconds) if found.run_seconds is not None else None,
        "next attempt" if found.attempt > 1 else "due": found.due_at,
        "deadline": found.deadline_at,
        "overdue": tables.span(found.overdue_seconds) if found.overdue_seconds else None,
        "ended": found.ended_at,
        "worker": found.worker,
        "last heartbeat": tables.ago(found.last_heartbeat_at),
        "args": _payload(found.args),
        "kwargs": _payload(found.kwargs),
        "letter": found.letter,
        "result": found.result,
    }
    lines = tables.facts(told)
    for one in found.errors:
        lines.append(f"attempt {one.get('n', '?')} failed: {one.get('error', '')}: {one.get('message', '')}")
    return lines


def _payload(value: Any) -> str | None:
    return None if value is None else repr(value)


@commands.command()
@click.argument("task")
@click.option("--args", type=options.Json(list), default="[]", help="Arguments as a JSON list.")
@click.option("--kwargs", type=options.Json(dict), default="{}", help="Named arguments as a JSON object.")
@click.option("--queue", type=options.QUEUE, default="", help="Where it goes.")
@click.option("--org", default="", help="Whose it is.")
@click.option("--resource", type=options.RESOURCE, default="", help="What it uses.")
@click.option("--priority", help="0 (sooner) to 10 (later), or a name.")
@click.option("--in", "countdown", type=options.DURATION, help="Starts after this: 10m.")
@click.option("--at", "eta", type=options.MOMENT, help="Starts at this time.")
@click.option("--deadline", type=options.DURATION, help="Should be finished within this: 1h.")
@click.option("--unique-key", default="", help="No second job has this as long as it lives.")
def submit(
    call: Call,
    task: str,
    args: list[Any],
    kwargs: dict[str, Any],
    countdown: timedelta | None,
    **given: Any,
) -> Answer:
    """Enqueue a job of a registered task."""
    seconds = None if countdown is None else countdown.total_seconds()
    done = submits.submit(call.actor, task, args, kwargs, countdown=seconds, **given)
    return Answer(done, [f"{done.task_id} is {done.state} in {done.queue}, of org {done.org}."])


@commands.command()
@click.argument("task_id", metavar="ID")
@click.option(
    "--timeout", type=options.DURATION, default="1m", show_default=True, help="Wait so long at most."
)
def wait(call: Call, task_id: str, timeout: timedelta) -> Answer:
    """Wait until a job is over; the exit code is 1 unless it has succeeded."""
    found = events.wait_for(call.actor, task_id, timeout.total_seconds())
    return Answer(found, _facts(found), code=0 if found.state == JobState.SUCCEEDED else 1)


@commands.command()
@click.argument("task_id", metavar="ID")
def explain(call: Call, task_id: str) -> Answer:
    """Say why a job waits, and until when."""
    found = jobs.explain(call.actor, task_id)
    return Answer(found, found.lines)


def _changed(done: jobs.Changed, verb: str) -> Answer:
    notes = getattr(done, "notes", {})
    rows = [(task_id, word, notes.get(task_id)) for task_id, word in done.words.items()]
    lines = tables.table(
        rows, ("task id", lambda row: row[0]), ("is", lambda row: row[1]), ("", lambda row: row[2] or " ")
    )
    if done.count == len(done.words):
        code = 0
    else:
        code = 3 if set(done.words.values()) == {"unknown"} else 1
    return Answer(done, [*lines, f"{tables.plural(done.count, 'job')} {verb}."], code=code)


@commands.command()
@_IDS
def retry(call: Call, task_ids: tuple[str, ...]) -> Answer:
    """Have jobs run now that wait for their next attempt, or for their time."""
    return _changed(jobs.retry(call.actor, task_ids), "run now")


@commands.command(asks=True)
@_IDS
def cancel(call: Call, task_ids: tuple[str, ...]) -> Answer:
    """End jobs for good: what waits is gone at once, what runs is stopped where its pool can."""
    call.confirm(f"Cancel {tables.plural(len(task_ids), 'job')}, for good?")
    return _changed(jobs.cancel(call.actor, task_ids), "cancelled")


@commands.command()
@_IDS
def hold(call: Call, task_ids: tuple[str, ...]) -> Answer:
    """Keep jobs from running until they are released; what runs already goes on."""
    return _changed(jobs.hold(call.actor, task_ids), "held")


@commands.command()
@_IDS
@click.option("--from-parents", is_flag=True, help="They wait for no other job any more either.")
def release(call: Call, task_ids: tuple[str, ...], from_parents: bool) -> Answer:
    """End the hold of jobs: each has the place it had."""
    return _changed(jobs.release(call.actor, task_ids, from_parents=from_parents), "released")
