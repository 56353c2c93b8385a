"""Beat with a leader: any number of beats may run, one sends, and each due time is sent once.

Set `CELERY_BEAT_SCHEDULER = "queueops.ops.beat:Scheduler"`; entries are rows of django-celery-beat.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from celery.utils.log import get_logger
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.db.models import QuerySet
from django_celery_beat.schedulers import DatabaseScheduler
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from queueops.engine.store import Store
from queueops.errors import BrokerUnavailable, ConfigurationError, PublishError, StaleLease
from queueops.ops.schedule_entry import ScheduledEntry

__all__ = ["Scheduler"]

logger = get_logger(__name__)

#: The leader's lease in the broker is called this.
NAME = "beat"
#: Long enough for a slow database; the other beats take over at most so long after the leader's end.
LEASE_MS = 10_000
#: Most seconds between two looks at the lease, the rows' changes and the time.
TURN_SECONDS = 2.0
#: An entry that cannot be sent (its queue is unknown, say) is tried again after this.
AGAIN = timedelta(minutes=1)


class Scheduler(DatabaseScheduler):
    """Sends what is due while it leads; waits for the leader's end while it does not.

    What makes a due time be sent once: the leader alone sends; the broker takes its jobs only while the
    lease is held (a process that was frozen finds it gone); and a job's tag is made of entry and due time,
    so that the job that a leader sent and could not write down any more is known to the broker.
    """

    Entry = ScheduledEntry

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self.lease = ""
        self._look_at: dict[str, datetime] = {}
        self._heap_invalidated = False
        super().__init__(*args, **kwargs)

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; returns the seconds until there is something to do again."""
        turn: float = min(TURN_SECONDS, self.max_interval)
        try:
            if not self._lead():
                return turn
            return min(turn, self._send_due(self.now()))
        except StaleLease:
            self._follow("the lease was lost")
        except (OperationalError, OSError, *self._broker_errors()) as error:
            logger.warning("beat: The broker is away, what is due waits: %s", error)
            self._follow("the broker is away")
            self._disconnect()
        except (DatabaseError, InterfaceError) as error:
            # Without the database nobody knows what was sent; the lease ends, and another beat may have it.
            logger.warning("beat: The database is away, what is due waits: %s", error)
            self._give_up()
            with suppress(Exception):
                close_old_connections()
        return turn

    # Who leads

    def _lead(self) -> bool:
        before, self.lease = self.lease, self._store.lead(NAME, self.holder, LEASE_MS)
        if self.lease and self.lease != before:
            logger.info("beat: This process leads (%s).", self.holder)
            # What another leader has sent meanwhile stands in the rows.
            self._initial_read, self._look_at = True, {}
        elif before and not self.lease:
            self._follow("another process leads")
        return bool(self.lease)

    def _follow(self, why: str) -> None:
        if self.lease:
            logger.warning("beat: This process leads no more: %s.", why)
        self.lease = ""

    def _give_up(self) -> None:
        if self.lease:
            with suppress(Exception):
                self._store.lead_no_more(NAME, self.holder)
        self._follow("it gives up its lease")

    @property
    def _store(self) -> Store:
        self.connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        store: Store | None = getattr(self.connection.default_channel, "store", None)
        if store is None:
            raise ConfigurationError(
                f"This beat needs a broker with queueops://, not {self.connection.as_uri()}."
            )
        return store

    def _broker_errors(self) -> tuple[type[BaseException], ...]:
        return (BrokerUnavailable, RedisError, *self.connection.recoverable_connection_errors)

    def _disconnect(self) -> None:
        connection = self.__dict__.pop("connection", None)
        if connection is not None:
            with suppress(Exception):
                connection.release()

    # What is due

    def enabled_models_qs(self) -> QuerySet[Any]:
        """All entries that are enabled: one that is left out for its hour would be missed by a late beat."""
        related = ("interval", "crontab", "solar", "clocked")
        return self.Model.objects.enabled().select_related(*related)  # type: ignore[no-any-return]

    def _send_due(self, now: datetime) -> float:
        entries = self.schedule
        if self._heap_invalidated:
            self._heap_invalidated, self._look_at = False, {}
        soonest = now + timedelta(seconds=TURN_SECONDS)
        for name, entry in list(entries.items()):
            at = self._look_at.get(name)
            if at is None or at <= now:
                at = self._look_at[name] = self._turn(entry, now)
            soonest = min(soonest, at)
        return max(0.0, (soonest - self.now()).total_seconds())

    def _turn(self, entry: ScheduledEntry, now: datetime) -> datetime:
        """Send the entry's job if it is due; returns when to look at it again."""
        if not entry.model.enabled:
            return now + AGAIN
        if entry.ends(now):
            self.Model.objects.filter(pk=entry.model.pk).update(enabled=False)
            entry.model.enabled = False
            return now + AGAIN
        try:
            due, again = entry.due(now)
            if due is None or self._too_late(entry, due, now):
                return again
            self._send(entry, due)
        except BrokerUnavailable:
            raise
        except (PublishError, ArithmeticError, LookupError, TypeError, ValueError):
            # One entry that cannot be sent must not stop the others; it is due until somebody mends it.
            logger.exception("beat: %r cannot be sent, it is tried again in %s", entry.name, AGAIN)
            return now + AGAIN
        return again

    def _send(self, entry: ScheduledEntry, due: datetime) -> None:
        logger.info("beat: Sending %s (%s), due at %s", entry.name, entry.task, due.isoformat())
        if entry.missed(due):
            logger.warning("beat: Earlier times of %s were missed; it runs once for the latest.", entry.name)
        drafted = entry.draft(due)
        stamp = f"{entry.key}\t{round(due.timestamp() * 1000)}"
        word = self._store.send_due(NAME, self.lease, drafted.queue, drafted.job, stamp)
        if word == "duplicate":
            logger.info("beat: %s of %s had been sent before.", entry.name, due.isoformat())
        entry.sent(due)

    def _too_late(self, entry: ScheduledEntry, due: datetime, now: datetime) -> bool:
        deadline = self.app.conf.beat_cron_starting_deadline
        if deadline is None or entry.cron is None or now - due <= timedelta(seconds=deadline):
            return False
        logger.warning("beat: %s was due at %s; that is too long ago, it is left out.", entry.name, due)
        entry.sent(due, count=0)
        return True

    def sync(self) -> None:
        """Nothing waits to be written: each job sent is in its row at once."""

    def close(self) -> None:
        """Give up the lease, so that another beat goes on at once."""
        if self.lease:
            with suppress(Exception):
                self._store.lead_no_more(NAME, self.holder)
            logger.info("beat: This process leads no more, it ends.")
            self.lease = ""
        super().close()
