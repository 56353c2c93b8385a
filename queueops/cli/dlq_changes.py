"""queueops dlq replay, discard, purge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import click

from queueops.cli import letters, tables
from queueops.cli.verbs import Answer, Call, verbs
from queueops.models.querysets import DeadLetterQuerySet
from queueops.ops import dead_letters, guarded_replay, letter_list
from queueops.ops.dead_letters import Done
from queueops.ops.guarded_replay import Guarded

commands = verbs()

_NUMBERS = click.argument("numbers", metavar="[LETTER]...", nargs=-1, type=letters.LETTER)
_ALL = click.option("--all", "everything", is_flag=True, help="All letters there are.")


def _selected(numbers: tuple[int, ...], everything: bool, given: dict[str, Any]) -> dict[str, Any]:
    """The filters of what was asked for; refuses to mean everything because nothing was said."""
    said = letters.chosen(**given)
    if numbers:
        said["letters"] = numbers
    if not said and not everything:
        raise click.UsageError("Say which letters: their numbers, a filter as --queue bulk, or --all.")
    return said


@dataclass(frozen=True, slots=True)
class _Selection:
    """The letters a command is about: how to find them, and how the audit log tells them."""

    found: DeadLetterQuerySet
    described: dict[str, Any]

    def rehearsed(self, call: Call, verb: str) -> Answer:
        """The answer of --dry-run."""
        number = letter_list.counted(call.actor, self.found)
        told = f"{_many(number)} would be {verb}. Nothing was done."
        return Answer({"count": number.count, "is_more": number.is_more, "dry_run": True}, [told])

    def confirm(self, call: Call, question: str) -> int | None:
        """Ask, naming their number; return it where it is known. Nobody counts what nobody asks about."""
        if call.yes:
            return None
        number = letter_list.counted(call.actor, self.found)
        call.confirm(question.format(_many(number)))
        return None if number.is_more else number.count


def _many(number: letter_list.Counted) -> str:
    return f"{'more than ' if number.is_more else ''}{tables.plural(number.count, 'letter')}"


@commands.command(asks=True, rehearses=True)
@_NUMBERS
@letters.filters
@_ALL
@click.option(
    "--canary", type=click.IntRange(0), default=0, help="Replay so many first, and wait for their end."
)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Letters a second.")
@click.option(
    "--stop-share",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Stop when more than this part of the jobs that ended died again.",
)
@click.option("--after", help="Go on where an earlier replay stopped.")
def replay(
    call: Call,
    numbers: tuple[int, ...],
    everything: bool,
    canary: int,
    rate: float | None,
    stop_share: float,
    after: str | None,
    **given: Any,
) -> Answer:
    """Make jobs of dead letters again: of these, of those that match, or of all of a queue.

    It stops by itself when too many of the jobs die again, and says how to go on.
    """
    said = _selected(numbers, everything, given)
    chosen = _Selection(*letter_list.matching(**said))
    if call.dry_run:
        return chosen.rehearsed(call, "replayed")
    if set(said) == {"letters"} and not canary and rate is None:
        return _done(dead_letters.replay(call.actor, numbers), "replayed")
    total = chosen.confirm(call, "Replay {}?")
    last: list[Guarded] = []
    try:
        with call.progress("Replaying", total) as advance:

            def seen(state: Guarded) -> None:
                last[:] = [state]
                advance(state.count)

            done = guarded_replay.replay_guarded(
                call.actor,
                chosen.found,
                chosen.described,
                canary=canary,
                rate=rate,
                stop_share=stop_share,
                after=after,
                progress=seen,
            )
    except KeyboardInterrupt:
        if not last:
            raise
        return _guarded(last[0], "Stopped by Ctrl-C.")
    return _guarded(done, done.stopped)


def _guarded(done: Guarded, stopped: str) -> Answer:
    lines = [
        f"{tables.plural(done.count, 'letter')} replayed: {done.succeeded:,} succeeded, {done.failed:,} died "
        f"again, the others run or wait."
    ]
    if done.canary_succeeded or done.canary_failed:
        lines.append(f"Canaries: {done.canary_succeeded:,} succeeded, {done.canary_failed:,} died again.")
    lines += _refusals(done)
    if stopped:
        lines.append(f"{stopped} The same command with --after {done.after} goes on.")
    return Answer(done, lines, code=1 if stopped or done.refused else 0)


def _refusals(done: Done | Guarded) -> list[str]:
    lines = [f"Letter {one.letter} was refused: {one.reason}" for one in done.refusals]
    if done.refused > len(done.refusals):
        lines.append(f"{done.refused:,} were refused in all.")
    if done.alone:
        lines.append(f"{done.alone:,} were members of chords, which have failed: they run alone.")
    return lines


def _done(done: Done, verb: str) -> Answer:
    lines = [f"{tables.plural(done.count, 'letter')} {verb}.", *_refusals(done)]
    if done.stopped:
        lines.append(done.stopped)
    return Answer(done, lines, code=1 if done.refused or done.stopped else 0)


@commands.command(asks=True, rehearses=True)
@_NUMBERS
@letters.filters
@_ALL
@click.option(
    "--children",
    type=click.Choice(["keep", "release", "cancel"]),
    help="What becomes of jobs that wait for these; else such letters are refused.",
)
def discard(call: Call, numbers: tuple[int, ...], everything: bool, children: Any, **given: Any) -> Answer:
    """Close dead letters: they are not replayed; the rows stay until they are purged."""
    said = _selected(numbers, everything, given)
    chosen = _Selection(*letter_list.matching(**said))
    if call.dry_run:
        return chosen.rehearsed(call, "discarded")
    with call.progress("Discarding", chosen.confirm(call, "Discard {}?")) as advance:
        done = dead_letters.discard(
            call.actor, chosen.found, chosen.described, children=children, progress=advance
        )
    return _done(done, "discarded")


@commands.command(asks=True, rehearses=True)
@letters.filters
@click.option("--days", type=click.IntRange(0), help="Died more than so many days ago: 30.")
@click.option("--force", is_flag=True, help="Also letters younger than the retention.")
def purge(call: Call, days: int | None, force: bool, **given: Any) -> Answer:
    """Delete dead letters, whatever became of them; without a time those past the retention."""
    said = letters.chosen(**given)
    if days is not None:
        said["died_before"] = letters.chosen(older_than=timedelta(days=days))["died_before"]
    said.setdefault("died_before", dead_letters.retention_limit())
    chosen = _Selection(*letter_list.matching(status="all", **said))
    if call.dry_run:
        return chosen.rehearsed(call, "deleted")
    with call.progress("Purging", chosen.confirm(call, "Delete {}, for good?")) as advance:
        done = dead_letters.purge(call.actor, chosen.found, chosen.described, force=force, progress=advance)
    return _done(done, "purged")
