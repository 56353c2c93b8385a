"""queueops dlq list, show, groups, export, import."""

from __future__ import annotations

from typing import IO, Any

import click

from queueops.cli import letters, options, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.ops import error_groups, letter_files, letter_list

commands = verbs()


@commands.command("list")
@letters.filters
@letters.status
@options.limit(100, letter_list.MOST)
@click.option("--after", help="Go on where the page before ended.")
def list_(call: Call, status: str, limit: int, after: str | None, **given: Any) -> Answer:
    """List dead letters, the newest first."""
    page = letter_list.listed(
        call.actor, status=status, limit=limit, before=after, payload=call.as_json, **letters.chosen(**given)
    )
    lines = tables.table(
        page.letters,
        "id",
        ("died", lambda one: one.died_at),
        "queue",
        "org",
        "task",
        "attempts",
        "status",
        ("error", lambda one: one.error_class or one.reason),
        ("message", lambda one: one.error_message),
        empty="No letter matches.",
    )
    more = [f"There may be more: --after {page.next_cursor}"] if page.next_cursor else []
    return Answer(page, [*lines, *more])


@commands.command()
@click.argument("letter", type=letters.LETTER)
def show(call: Call, letter: int) -> Answer:
    """Show one letter: its error, its attempts, what the job carried."""
    found = letter_list.shown(call.actor, letter)
    one, payload = found.letter, found.payload
    told = {
        "letter": one.id,
        "status": one.status,
        "task": one.task,
        "task id": one.task_id,
        "queue": one.queue,
        "org": one.org,
        "resource": one.resource,
        "reason": one.reason,
        "error": one.error_class,
        "message": one.error_message,
        "first enqueued": one.first_enqueued_at,
        "died": one.died_at,
        "closed": one.closed_at,
        "closed by": one.closed_by,
        "attempts": one.attempts,
        "deliveries": one.deliveries,
        "worker": one.worker,
        "last run": tables.span(one.run_ms / 1000),
        "alike": found.alike,
        "others of this job": [other.id for other in found.line],
        "args": None if payload is None else repr(payload.args),
        "kwargs": None if payload is None else repr(payload.kwargs),
        "unreadable": None if payload is None else payload.unreadable,
    }
    lines = tables.facts(told)
    for attempt in found.errors:
        error = f"{attempt.get('error', '')}: {attempt.get('message', '')}"
        lines.append(f"attempt {attempt.get('n', '?')} failed: {error}")
    return Answer(found, [*lines, *found.traceback.rstrip().splitlines()])


@commands.command()
@options.one_queue
@click.option("--org", default="", help="Of this org.")
@click.option("--hours", type=click.IntRange(1, 744), default=24, show_default=True, help="Look back.")
@options.limit(50)
def groups(call: Call, queue: str | None, org: str, hours: int, limit: int) -> Answer:
    """Group parked letters by what they died of, the most frequent first."""
    found = error_groups.groups(call.actor, queue=queue or "", org=org, hours=hours, limit=limit)
    lines = tables.table(
        found,
        "fingerprint",
        "count",
        ("last", lambda one: tables.ago(one.last_died_at)),
        ("trend", lambda one: tables.trend(one.trend)),
        "queue",
        "task",
        ("error", lambda one: one.error_class),
        "message",
        empty="No letter died in this time.",
    )
    return Answer(found, lines)


@commands.command()
@letters.filters
@letters.status
@click.option("--output", type=click.File("w"), default="-", help="File; - is stdout.", show_default=True)
def export(call: Call, status: str, output: IO[str], **given: Any) -> Answer:
    """Write dead letters as JSON lines, whole and with nothing masked; `dlq import` reads them."""
    found, described = letter_list.matching(status=status, **letters.chosen(**given))
    if output.name == "<stdout>":
        letter_files.export(call.actor, found, described, output.write)
        return Answer(None)
    with call.progress("Exporting") as advance:
        count = letter_files.export(call.actor, found, described, output.write, progress=advance)
    return Answer({"count": count}, [f"{tables.plural(count, 'letter')} written to {output.name}."])


@commands.command("import")
@click.argument("source", metavar="FILE", type=click.File("rb"), default="-")
def import_(call: Call, source: IO[bytes]) -> Answer:
    """Read what `dlq export` has written (- is stdin); letters that are there already stay as they are."""
    with call.progress("Importing") as advance:
        done = letter_files.import_lines(call.actor, source, progress=advance)
    told = f"{done.known:,} were known, {done.refused:,} refused."
    lines = [f"{tables.plural(done.count, 'letter')} imported; {told}"]
    lines += [f"Line {one.line}: {one.reason}" for one in done.refusals]
    return Answer(done, lines, code=1 if done.refused else 0)
