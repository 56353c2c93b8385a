"""Replay: a dead letter becomes a job again, once, whoever asks how often."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.utils import timezone

from queueops.conf import config
from queueops.engine.rules.envelope import NewJob
from queueops.engine.rules.states import LetterStatus, Reason
from queueops.engine.store import Store
from queueops.errors import InvalidMessage, PublishError, ReplayRefused
from queueops.models import AuditEntry, DeadLetter
from queueops.ops import audit, messages
from queueops.transport.messages import links, to_job

__all__ = ["Arguments", "Batch", "Refusal", "job_of", "replay_batch"]

#: The args and kwargs that an operator has put in place of the message's own.
Arguments = tuple[list[Any], dict[str, Any]]

#: Letters whose message nobody could run: they are published as they are, byte by byte.
_AS_THEY_ARE = frozenset({Reason.UNDECODABLE.value, Reason.UNKNOWN_TASK.value})

_NO_LIMIT = 1 << 40

_EXISTS = "Job {} holds its unique key by now: replay the letter when that job has ended."


@dataclass(frozen=True, slots=True)
class Refusal:
    """A letter that stays parked, and why."""

    letter: int
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of one batch: the replayed letters with their task ids, how many of them run alone (their
    chord has failed), refused ones.
    """

    replayed: Mapping[int, str]
    alone: int
    refused: tuple[Refusal, ...]

    @property
    def count(self) -> int:
        """How many were replayed."""
        return len(self.replayed)


def replay_batch(
    store: Store, entry: AuditEntry, ids: Sequence[int], by: str, arguments: Arguments | None = None
) -> Batch:
    """Publish those of the letters that are parked and mark them replayed, in one transaction.

    The jobs are published before the commit. A crash in between leaves letters parked whose jobs run; the tag
    is made from the letter and its replay number, so the broker knows the second publish and drops it.
    """
    with transaction.atomic():
        # This first write takes SQLite's lock; PostgreSQL waits at the rows. Either way the second of two
        # replays at the same time reads the letters only when the first has marked them.
        audit.add(entry, 0)
        parked = DeadLetter.objects.select_for_update().filter(pk__in=ids, status=LetterStatus.PARKED)
        jobs: dict[str, list[tuple[int, NewJob]]] = {}
        published: dict[int, str] = {}
        refused: list[Refusal] = []
        alone = 0
        for letter in parked.defer("args", "kwargs", "traceback", "attempts").order_by("died_at", "id"):
            try:
                job, lonely = job_of(letter, arguments)
            # A header can hold anything; one letter must not keep the others from being replayed.
            except (PublishError, ReplayRefused, TypeError, ValueError) as error:
                refused.append(Refusal(letter.pk, str(error)))
                continue
            jobs.setdefault(letter.queue, []).append((letter.pk, replace(job, replays=True)))
            published[letter.pk] = letter.task_id
            alone += lonely
        for queue, batch in jobs.items():
            words = store.enqueue(queue, [job for _, job in batch])
            # "duplicate" is as good as published: the job came into being by an earlier try.
            for (letter_id, _), word in zip(batch, words, strict=True):
                if word.startswith("existing "):
                    del published[letter_id]
                    refused.append(Refusal(letter_id, _EXISTS.format(word.removeprefix("existing "))))
        DeadLetter.objects.filter(pk__in=published).update(
            status=LetterStatus.REPLAYED, closed_at=timezone.now(), closed_by=by[:150]
        )
        audit.add(entry, len(published))
    return Batch(published, alone, tuple(refused))


def job_of(letter: DeadLetter, arguments: Arguments | None = None) -> tuple[NewJob, bool]:
    """The job that replays the letter, and whether it leaves a failed chord.

    Raises:
        InvalidMessage: the message cannot be read, so it can be neither freshened nor edited.
        PayloadTooLarge: the message is over the limit with the arguments given.
    """
    if letter.reason in _AS_THEY_ARE and arguments is None:
        return _as_it_is(letter), False
    message = messages.read(letter.raw_message)
    lineage = {"letter": letter.pk, "n": letter.replay_number + 1, "origin": letter.task_id}
    fresh = messages.refreshed(message, tag=_tag(letter), replay=lineage, arguments=arguments)
    # The limit is for what people write; a message that was accepted once stays acceptable.
    limit = config().max_payload_bytes if arguments else _NO_LIMIT
    return to_job(fresh, limit=limit, repeated=True), message.in_chord


def _as_it_is(letter: DeadLetter) -> NewJob:
    """The job of a message that nobody could run: byte by byte, under what its head said of it."""
    job = NewJob(
        tag=_tag(letter),
        task_id=letter.task_id,
        task=letter.task,
        org=letter.org or config().default_org,
        resource=letter.resource,
        message=letter.raw_message,
        first_ms=round(letter.first_enqueued_at.timestamp() * 1000) if letter.first_enqueued_at else 0,
        repeated=True,
    )
    try:
        return replace(job, **{**links(messages.read(letter.raw_message).own), "after": ()})
    except InvalidMessage:
        return job  # what cannot be read has no unique key to take again


def _tag(letter: DeadLetter) -> str:
    # Ids begin again where a database is made anew; the lease token never does.
    unique = hashlib.sha256(letter.lease_token.encode()).hexdigest()[:12]
    return f"replay-{letter.pk:012d}-{letter.replay_number + 1}-{unique}"
