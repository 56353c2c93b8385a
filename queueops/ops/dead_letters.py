"""The verbs of dead letters: collect, replay, replay_matching, edit_and_replay, discard, purge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from queueops.conf import config
from queueops.engine.rules.states import LetterStatus
from queueops.errors import BrokerUnavailable, ReplayRefused, RetentionRefused
from queueops.models import DeadLetter
from queueops.models.querysets import DeadLetterQuerySet
from queueops.ops import audit, broker, editing, permissions
from queueops.ops.batches import Cursor, pages
from queueops.ops.collector import collect, collect_all
from queueops.ops.graves import Children, Graves, graves
from queueops.ops.permissions import Actor
from queueops.ops.replay import Arguments, Refusal, replay_batch

__all__ = [
    "Done",
    "collect",
    "collect_all",
    "delete_letters",
    "discard",
    "edit_and_replay",
    "purge",
    "replay",
    "replay_matching",
    "retention_limit",
]

_SHOWN_REFUSALS = 20
_COUNTED = 10_000
_CLOSED = "The letter is not parked any more: it was replayed or discarded."


@dataclass(slots=True)
class Done:
    """What a verb has done.

    Attributes:
        count: letters that were replayed, discarded or purged.
        alone: replayed members of chords; the chord has failed, so they run by themselves.
        refusals: the first letters that were refused, with the reason; `refused` counts all.
        stopped: why it stopped before the end; empty if it did not.
        after: where to go on, when it stopped or when its time was over; None at the end.
    """

    count: int = 0
    alone: int = 0
    refused: int = 0
    refusals: tuple[Refusal, ...] = ()
    stopped: str = ""
    after: Cursor | None = None


def replay(actor: Actor, letters: Iterable[int]) -> Done:
    """Make jobs of those of these letters that are parked.

    Raises:
        PermissionDenied: the actor may not replay.
        BrokerUnavailable: nothing was replayed; the letters stay parked.
    """
    ids = list(letters)
    return _replay(actor, "replay", _named(ids), {"letters": ids[:100]}, _slices(ids))


def replay_matching(
    actor: Actor,
    matching: DeadLetterQuerySet,
    described: Mapping[str, Any],
    *,
    after: Cursor | None = None,
    seconds: float | None = None,
) -> Done:
    """Make jobs of all letters that match and are parked now, from the oldest on, in batches.

    Args:
        matching: the letters, filtered in the database.
        described: the filter in words, for the audit entry.
        after: where an earlier call stopped.
        seconds: stop after this time at the end of a batch; the answer's `after` says where to go on.

    Raises:
        PermissionDenied: the actor may not replay.
        BrokerUnavailable: nothing was replayed. If the broker goes away later, `stopped` says so.
    """
    # A job that dies again while this goes on is a new letter; the walk must not go after it.
    newest = DeadLetter.objects.order_by("-pk").values_list("pk", flat=True)[:1]
    found = pages(matching.parked().filter(pk__lte=next(iter(newest), 0)), after)
    return _replay(actor, "replay", "letters that match", {"filter": dict(described)}, found, seconds)


def edit_and_replay(actor: Actor, letter: int, arguments: Arguments) -> Done:
    """Make a job of the letter with other args and kwargs. The letter keeps its own.

    Args:
        arguments: a mask in them, as people are shown it, means what the letter has at that place.

    Raises:
        PermissionDenied: the actor may not edit, replay or see payloads.
        ReplayRefused: the letter is not parked, its message cannot be edited, or a mask hides nothing known.
        BrokerUnavailable: nothing was replayed.
    """
    for permission in (permissions.EDIT, permissions.REPLAY, permissions.VIEW_PAYLOAD):
        actor.require(permission)
    found = DeadLetter.objects.parked().filter(pk=letter).first()
    if found is None:
        raise ReplayRefused(_CLOSED)
    arguments = editing.unmasked(found, arguments)
    told = {"args": arguments[0], "kwargs": arguments[1]}
    done = _replay(actor, "edit_and_replay", f"letter {letter}", told, _slices([letter]), arguments=arguments)
    if done.refusals:
        raise ReplayRefused(done.refusals[0].reason)
    if not done.count:
        raise ReplayRefused(_CLOSED)
    return done


def _replay(
    actor: Actor,
    verb: str,
    target: str,
    parameters: Mapping[str, Any],
    found: Iterator[tuple[list[int], Cursor | None]],
    seconds: float | None = None,
    arguments: Arguments | None = None,
) -> Done:
    actor.require(permissions.REPLAY)
    deadline = time.monotonic() + seconds if seconds is not None else None
    done = Done()
    with broker.store() as store:
        entry = audit.record(actor, verb, target, parameters)
        for ids, cursor in found:
            try:
                batch = replay_batch(store, entry, ids, actor.name, arguments)
            except BrokerUnavailable as error:
                if not done.count:
                    raise
                done.stopped = str(error)
                return done
            done.count += batch.count
            done.alone += batch.alone
            done.refused += len(batch.refused)
            done.refusals = (*done.refusals, *batch.refused)[:_SHOWN_REFUSALS]
            done.after = cursor
            if deadline is not None and time.monotonic() > deadline:
                return done
    done.after = None
    return done


def discard(
    actor: Actor,
    matching: DeadLetterQuerySet,
    described: Mapping[str, Any],
    *,
    children: Children | None = None,
    after: Cursor | None = None,
    seconds: float | None = None,
    progress: Callable[[int], None] | None = None,
) -> Done:
    """Close all parked letters that match; the rows stay until they are purged.

    Other args are those of `replay_matching`.

    Args:
        progress: called after each batch with the number of letters so far.
        children: what becomes of jobs that wait for these: they go on waiting, visibly, for a job that will
            not come back (`keep`), or are released or cancelled. Without it a letter that jobs wait for is
            refused.

    Raises:
        PermissionDenied: the actor may not discard.
    """
    actor.require(permissions.DISCARD)
    refusals: list[Refusal] = []

    def close(ids: Sequence[int], known: Graves) -> int:
        # The status once more: a letter may have been replayed since the page was read.
        parked = DeadLetter.objects.filter(pk__in=ids, status=LetterStatus.PARKED)
        tasks = dict(parked.values_list("pk", "task_id"))
        waiting = known.waiting_for(list(tasks.values())) if children is None else {}
        for letter, task_id in list(tasks.items()):
            if task_id in waiting:
                refusals.append(Refusal(letter, _waited_for(waiting[task_id])))
                del tasks[letter]
        count = parked.filter(pk__in=tasks).update(
            status=LetterStatus.DISCARDED, closed_at=timezone.now(), closed_by=actor.name[:150]
        )
        transaction.on_commit(lambda: known.close(list(tasks.values()), children or "keep"))
        return count

    told = {**described, **({"children": children} if children else {})}
    done = _in_batches(actor, "discard", told, pages(matching.parked(), after), close, seconds, progress)
    done.refused, done.refusals = len(refusals), tuple(refusals[:_SHOWN_REFUSALS])
    return done


def _waited_for(number: int) -> str:
    jobs = "1 job waits" if number == 1 else f"{number:,} jobs wait"
    return f"{jobs} for it. Say whether they are released, cancelled, or go on waiting."


def purge(
    actor: Actor,
    matching: DeadLetterQuerySet,
    described: Mapping[str, Any],
    *,
    force: bool = False,
    after: Cursor | None = None,
    seconds: float | None = None,
    progress: Callable[[int], None] | None = None,
) -> Done:
    """Delete all letters that match, whatever their status. Other args are those of `replay_matching`.

    Args:
        progress: called after each batch with the number of letters so far.
        force: also letters that are younger than the retention (DEAD_LETTER_RETENTION_DAYS).

    Raises:
        PermissionDenied: the actor may not purge.
        RetentionRefused: some are younger than the retention and `force` was not given; nothing was deleted.
    """
    actor.require(permissions.PURGE)
    if not force:
        _refuse_young(matching)

    told = {**described, **({"force": True} if force else {})}
    return _in_batches(actor, "purge", told, pages(matching, after), delete_letters, seconds, progress)


def delete_letters(ids: Sequence[int], known: Graves) -> int:
    """Delete these letters, inside a transaction; return how many. Their jobs leave the graves with it."""
    letters = DeadLetter.objects.filter(pk__in=ids)
    # The task of a letter that was replayed lives, or has another letter.
    tasks = list(letters.filter(status=LetterStatus.PARKED).values_list("task_id", flat=True))
    _, deleted = letters.delete()
    transaction.on_commit(lambda: known.close(tasks))
    return deleted.get(DeadLetter._meta.label, 0)


def retention_limit() -> datetime:
    """Letters that died after this moment are kept by purge."""
    return timezone.now() - timedelta(days=config().dead_letter_retention_days)


def _refuse_young(matching: DeadLetterQuerySet) -> None:
    young = matching.died_since(retention_limit()).order_by()[: _COUNTED + 1].count()
    if young:
        told = f"{young:,}" if young <= _COUNTED else f"more than {_COUNTED:,}"
        days = config().dead_letter_retention_days
        raise RetentionRefused(
            f"Nothing was purged: {told} of these letters {'is' if young == 1 else 'are'} younger than the "
            f"retention of {days} days. Choose older ones, or force it."
        )


def _in_batches(
    actor: Actor,
    verb: str,
    described: Mapping[str, Any],
    found: Iterator[tuple[list[int], Cursor | None]],
    act: Callable[[Sequence[int], Graves], int],
    seconds: float | None,
    progress: Callable[[int], None] | None,
) -> Done:
    deadline = time.monotonic() + seconds if seconds is not None else None
    done = Done()
    entry = audit.record(actor, verb, "letters that match", {"filter": dict(described)})
    with graves() as known:
        for ids, cursor in found:
            # The rows and what the audit log says of them change together.
            with transaction.atomic():
                audit.add(entry, 0)
                count = act(ids, known)
                audit.add(entry, count)
            done.count += count
            done.after = cursor
            if progress is not None:
                progress(done.count)
            if deadline is not None and time.monotonic() > deadline:
                return done
    done.after = None
    return done


def _named(ids: Sequence[int]) -> str:
    return f"letter {ids[0]}" if len(ids) == 1 else f"{len(ids)} letters"


def _slices(ids: Sequence[int], size: int = 200) -> Iterator[tuple[list[int], None]]:
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size]), None
