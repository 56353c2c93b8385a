"""From the outbox into the queues: in the order of the rows, each once, whatever crashes in between."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from itertools import groupby
from time import monotonic
from typing import Any

from celery import current_app
from django.db import OperationalError, router, transaction
from django.utils import timezone

from queueops.engine.rules.envelope import NewJob
from queueops.engine.store import Store
from queueops.errors import BrokerUnavailable, NotReplicated, PublishError, QueueFull
from queueops.models import OutboxEntry
from queueops.ops.connections import released

__all__ = ["entry_of", "job_of", "relay", "relay_all", "relay_at_commit"]

logger = logging.getLogger("queueops.outbox")

#: Rows of one step: they are locked while the broker takes them.
STEP = 200
_STEPS = 25
#: After a broker that was away, commits leave their rows to the workers for so many seconds.
AWAY_SECONDS = 5.0
_FIELDS = frozenset(field.name for field in fields(NewJob)) - {"message", "repeated"}

_away_until = 0.0


def entry_of(queue: str, job: NewJob) -> OutboxEntry:
    """Return the unsaved row of a job."""
    head = {name: value for name, value in asdict(job).items() if name in _FIELDS}
    return OutboxEntry(
        queue=queue, org=job.org, task=job.task, task_id=job.task_id, head=head, message=job.message
    )


def job_of(entry: OutboxEntry) -> NewJob:
    """Return the job of a row; the broker looks whether it had it before.

    Raises:
        TypeError: the row was written by another version that knew other fields.
    """
    head: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in entry.head.items()
    }
    return NewJob(**head, message=entry.message, repeated=True)


def relay_all(store: Store) -> int:
    """Relay until the outbox is empty, or for a bounded number of steps; the next turn goes on."""
    held: set[str] = set()
    total = 0
    with released():
        for _ in range(_STEPS):
            looked, done = _step(store, held)
            total += done
            if looked < STEP:
                break
    return total


def relay(store: Store) -> int:
    """Put the oldest waiting rows, up to `STEP`, into their queues and delete them; return how many.

    The rows are deleted after the broker has taken them. Whoever crashes in between leaves rows whose jobs
    are in the broker; their tags were fixed when they were written, so the next relay's publish is known as
    a repetition. A row that the broker refuses stays, with the reason, and the others go on.

    Raises:
        BrokerUnavailable: the broker did not take them; the rows stay.
    """
    return _step(store, set())[1]


def _step(store: Store, held: set[str]) -> tuple[int, int]:
    """Relay one step; returns how many rows it saw, and how many are gone.

    Args:
        held: queues whose rows wait for the next turn, so that no later one overtakes them; it adds to them.
    """
    alias = router.db_for_write(OutboxEntry)
    try:
        with transaction.atomic(using=alias):
            # Two relays at a time could put a later row before an earlier one. Where somebody else is at it
            # (PostgreSQL says so at once, SQLite waits), there is nothing to do.
            waiting = OutboxEntry.objects.using(alias).waiting().exclude(queue__in=held)
            entries = list(waiting.select_for_update(nowait=True)[:STEP])
            done: list[int] = []
            for queue, run in groupby(entries, key=lambda entry: entry.queue):
                if queue not in held:
                    done += _put(store, queue, list(run), held)
            OutboxEntry.objects.using(alias).filter(pk__in=done).delete()
    except OperationalError as error:
        if "lock" in str(error).lower():
            return 0, 0
        raise
    return len(entries), len(done)


def _put(store: Store, queue: str, entries: list[OutboxEntry], held: set[str]) -> list[int]:
    jobs = list(_readable(entries))
    try:
        store.enqueue(queue, [job for _, job in jobs])
        return [entry.pk for entry, _ in jobs]
    except BrokerUnavailable:
        raise
    except NotReplicated as unsure:
        # What was sent is in the broker. Waiting for replicas that may never come would hold back all others.
        sent = len(unsure.enqueued) + len(unsure.words)
        logger.warning("%d jobs of the outbox for %s: %s", sent, queue, unsure)
        if sent < len(jobs):
            # Each further step could wait for replicas as long, with the rows locked.
            held.add(queue)
        return [entry.pk for entry, _ in jobs[:sent]]
    except (PublishError, ValueError):
        # One that is refused must not hold back the others; nothing of the step was written.
        return _one_by_one(store, queue, jobs, held)


def _one_by_one(
    store: Store, queue: str, jobs: list[tuple[OutboxEntry, NewJob]], held: set[str]
) -> list[int]:
    done: list[int] = []
    for entry, job in jobs:
        try:
            store.enqueue(queue, [job])
        except BrokerUnavailable:
            raise
        except QueueFull:
            # Its rows wait in their order; those of other queues go on.
            held.add(queue)
            break
        except NotReplicated as unsure:
            # As above: it is in the broker, and the others wait for their turn.
            logger.warning("A job of the outbox for %s: %s", queue, unsure)
            done.append(entry.pk)
            held.add(queue)
            break
        except (PublishError, ValueError) as error:
            _refuse(entry, error)
        else:
            done.append(entry.pk)
    return done


def _readable(entries: Sequence[OutboxEntry]) -> Iterator[tuple[OutboxEntry, NewJob]]:
    for entry in entries:
        try:
            yield entry, job_of(entry)
        except TypeError as error:
            _refuse(entry, error)


def _refuse(entry: OutboxEntry, error: Exception) -> None:
    logger.error("Outbox entry %s of task %s is refused and stays: %s", entry.pk, entry.task, error)
    entry.error, entry.refused_at = f"{type(error).__name__}: {error}", timezone.now()
    entry.tries += 1
    entry.save(update_fields=["error", "refused_at", "tries"])


class relay_at_commit:
    """Called at the commit of a transaction that wrote rows: relays them at once if the broker is there."""

    def __call__(self) -> None:
        """Relay; whatever hinders it, the workers' chore does it within a second."""
        global _away_until
        if monotonic() < _away_until:
            return
        try:
            # Connected before the rows are locked: a broker that is away must not hold SQLite's only lock.
            with current_app.producer_or_acquire() as producer:
                producer.connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
                relay(producer.channel.store)
        except Exception as error:
            _away_until = monotonic() + AWAY_SECONDS
            logger.warning("The outbox waits for the workers to relay it: %s", error)

    @classmethod
    def register(cls, alias: str) -> None:
        """Have the current transaction end with a relay, one however many rows it writes."""
        connection = transaction.get_connection(alias)
        if not any(isinstance(hook, cls) for _, hook, _ in connection.run_on_commit):
            transaction.on_commit(cls(), using=alias)
