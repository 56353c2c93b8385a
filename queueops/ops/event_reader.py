"""The one reader of events in a process: it asks the broker once and hands each event to all who listen.

Two threads run while somebody listens: one reads the broker's stream, one looks at the queues every two
seconds. Whoever listens has a queue of his own; one that is full is given up with a gap, so a slow listener
never holds up another.
"""

from __future__ import annotations

import logging
import os
import threading
from datetime import UTC, datetime
from time import monotonic, sleep

from celery import Celery, current_app

from queueops.engine.store import Store
from queueops.errors import BrokerUnavailable
from queueops.ops import broker
from queueops.ops.connections import released
from queueops.ops.listening import Event, Listener, notice, told
from queueops.ops.permissions import Actor
from queueops.ops.plain import plain
from queueops.ops.status import status

__all__ = ["Reader", "reader"]

logger = logging.getLogger("queueops.events")

#: How long the broker goes on telling events after the last time it was asked to.
LISTEN_MS = 10_000
RENEW_SECONDS = 2.0
SNAPSHOT_SECONDS = 2.0
#: Less than the broker's connections wait for an answer.
BLOCK_MS = 300
READ_AT_ONCE = 1_000
RETRY_SECONDS = 1.0
#: The threads stay so long after the last listener has gone: the next one is often a page that was reloaded.
LINGER_SECONDS = 5.0


class Reader:
    """Reads the broker's events for all listeners of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()
        self._joining: list[Listener] = []
        self._running = False
        self._pid = 0
        self._position = ""
        self._renewed = 0.0
        self._left_at = 0.0
        self._look = threading.Event()

    def join(self, listener: Listener) -> None:
        """Have a listener told of what happens from now on; its first event is `open`."""
        with self._lock:
            if self._pid != os.getpid():  # a fork has the parent's listeners, and none of its threads
                self._pid, self._running = os.getpid(), False
                self._listeners, self._joining = set(), []
            self._joining.append(listener)
            if not self._running:
                self._running, self._position = True, ""
                # A thread has no current app of its own.
                args = (current_app._get_current_object(), threading.Event())
                for name, run in (("events", self._read), ("snapshots", self._look_at_queues)):
                    threading.Thread(target=run, args=args, name=f"queueops-{name}", daemon=True).start()

    def leave(self, listener: Listener) -> None:
        """Tell a listener no more."""
        with self._lock:
            self._listeners.discard(listener)
            if listener in self._joining:
                self._joining.remove(listener)
            self._left_at = monotonic()

    @property
    def is_running(self) -> bool:
        """Whether its threads run."""
        return self._running

    def count(self) -> int:
        """How many listen."""
        with self._lock:
            return len(self._listeners) + len(self._joining)

    def _tell(self, *events: Event) -> None:
        with self._lock:
            told = [*self._listeners, *(self._joining if events[0].kind in ("away", "back") else ())]
        for listener in told:
            listener.offer(events)
            if listener.closed:
                self.leave(listener)

    def _is_over(self, stop: threading.Event) -> bool:
        with self._lock:
            if self._listeners or self._joining or monotonic() - self._left_at < LINGER_SECONDS:
                return False
            self._running = False
            stop.set()
            self._look.set()
            return True

    # The stream of jobs

    def _read(self, app: Celery, stop: threading.Event) -> None:
        app.set_current()
        away_since: float | None = None
        is_told = False
        while not self._is_over(stop):
            try:
                with broker.store() as store:
                    self._keep_on(store)
                    if is_told:
                        self._tell(notice("back"))
                        self._look.set()
                    away_since, is_told = None, False
                    self._follow(store, stop)
            except Exception as error:
                if not isinstance(error, BrokerUnavailable):
                    logger.exception("Reading the broker's events failed; it is tried again")
                self._renewed = 0.0
                # A connection that broke and was made again at once is nobody's business.
                if away_since is None:
                    away_since = monotonic()
                    continue
                if not is_told:
                    is_told = True
                    self._tell(notice("away", why=str(error)))
                sleep(RETRY_SECONDS)

    def _keep_on(self, store: Store) -> None:
        """Have the broker tell of jobs while somebody wants to hear of them."""
        with self._lock:
            wanted = any(listener.jobs for listener in (*self._listeners, *self._joining))
        if not wanted:
            self._position = ""
            store.now_ms()  # who only looks at queues is told too when the broker is away
            return
        if self._position and monotonic() - self._renewed < RENEW_SECONDS:
            return
        self._renewed = monotonic()
        latest = store.listen(LISTEN_MS)
        if not self._position:
            self._position = latest
        elif not store.has_event(self._position):
            self._position = latest
            self._lost("The broker no longer has what happened meanwhile.")

    def _follow(self, store: Store, stop: threading.Event) -> None:
        while not self._is_over(stop):
            self._keep_on(store)
            self._let_in(store)
            if not self._position:
                sleep(BLOCK_MS / 1000)
                continue
            found = store.events(self._position, count=READ_AT_ONCE, block_ms=BLOCK_MS)
            if found:
                self._position = found[-1].id
                self._tell(*map(told, found))
                if any(event.kind == "gap" for event in found):
                    self._look.set()
                if len(found) == READ_AT_ONCE and not store.has_event(self._position):
                    self._lost("More happened than could be read.")

    def _lost(self, why: str) -> None:
        self._tell(notice("gap", why=why))
        self._look.set()

    def _let_in(self, store: Store) -> None:
        with self._lock:
            # One that joined since then would hear of jobs; its turn comes with the broker told so.
            joining = [one for one in self._joining if self._position or not one.jobs]
        for listener in joining:
            listener.offer([Event(self._position, "open", datetime.now(UTC))])
            if listener.jobs and listener.last_id not in ("", self._position):
                self._catch_up(store, listener)
            with self._lock:
                if listener in self._joining:
                    self._joining.remove(listener)
                    self._listeners.add(listener)
            if listener.snapshots:
                self._look.set()

    def _catch_up(self, store: Store, listener: Listener) -> None:
        """Tell a listener what happened between the last event that it knows and where the reader is."""
        if not store.has_event(listener.last_id):
            listener.offer([notice("gap", why="The broker no longer has the last event that you know.")])
            return
        after = listener.last_id
        while found := store.events(after, count=READ_AT_ONCE):
            after = found[-1].id
            here = next((at for at, event in enumerate(found) if event.id == self._position), None)
            listener.offer(map(told, found if here is None else found[: here + 1]))
            if here is not None:
                return

    # How the queues do

    def _look_at_queues(self, app: Celery, stop: threading.Event) -> None:
        app.set_current()
        failed = ""
        while True:
            self._look.wait(SNAPSHOT_SECONDS)
            self._look.clear()
            if stop.is_set():
                return
            with self._lock:
                wanted = any(listener.snapshots for listener in self._listeners)
            if not wanted:
                continue
            try:
                with released():
                    seen = status(Actor.system("events"))
                failed = ""
            except BrokerUnavailable:
                continue  # the other thread says so
            except Exception as error:
                # Once: a database that is away for an hour would fill the log.
                if failed != type(error).__name__:
                    failed = type(error).__name__
                    logger.exception("The queues cannot be looked at; it is tried again")
                continue
            self._tell(
                *(
                    Event("", "snapshot", seen.at, queue=one.queue, data=plain(one))
                    for one in (seen.total, *seen.queues)
                )
            )


#: The process's reader.
reader = Reader()
