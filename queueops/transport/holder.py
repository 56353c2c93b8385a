"""What one process holds: its leases, the jobs claimed ahead, and the settles that Redis has not confirmed.

Leases and settles belong to the process, not to the channel: a reconnect makes a new channel, and nothing is
dropped or given back by it. All methods may be called from any thread.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any
from uuid import uuid4

from queueops.engine.types import Leased, Settlement
from queueops.transport import native, prefetch
from queueops.transport.held import Held
from queueops.transport.outbox import GivenBack, Outbox

#: Weight of the newest run in the process's mean run time.
MEAN_STEP = 0.05


class Holder:
    """The leases of this process on one broker.

    ``slots``: jobs that a worker's pool runs at once; ``None`` for a plain kombu consumer, whose credit is
    its channel's.
    """

    def __init__(self) -> None:
        # No "/": it separates the parts of a token.
        self.name = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}".replace("/", "_")
        #: Celery's name of the worker, by which remote control reaches it.
        self.node = ""
        self.slots: int | None = None
        self.queues: tuple[str, ...] = ()
        #: As `celery worker --pool` calls it.
        self.pool = ""
        #: Least and most slots that its autoscaler was given.
        self.bounds: tuple[int, int] | None = None
        self.memory_bytes: int | None = None
        #: The pool could run more jobs at once than `slots` says: it must not be given any beyond them.
        self.exact = False
        self.draining = False
        #: Takes no new job, until it is told otherwise; what it has goes on.
        self.quiet = False
        self.max_jobs = 0
        self.claimed_total = 0
        self.ended_total = 0
        self.stale_total = 0
        self.mean_ms = 0.0
        #: Jobs that wait in batches.
        self.parked = 0
        self.buffer: deque[Leased] = deque()
        self.lost_total = 0
        self._held: dict[str, Held] = {}
        self._busy = 0
        self.outbox = Outbox()
        self._cancelled: deque[str] = deque()
        self._number = 0
        #: When each claim was sent whose answer is outstanding.
        self._open: dict[int, float] = {}
        self._lock = native.lock()
        self._changed: list[Callable[[bool], None]] = []
        #: The connection was lost since the last renewal: what was claimed ahead may be another's by now.
        self.in_doubt = False
        #: Older than this since it was last known good, a lease starts nothing.
        self.lease_seconds = 30.0
        #: Whether what was claimed ahead goes back when no slot gets free: not where a number was asked for.
        self.returns_ahead = False
        self._moved = monotonic()

    # Claims

    def open_claim(self) -> int:
        """Return the number of a claim that is about to be sent."""
        with self._lock:
            self._number += 1
            self._open[self._number] = monotonic()
            return self._number

    def close_claim(self, number: int, jobs: Iterable[Leased] = ()) -> None:
        """Note the answer of a claim; without jobs also that its answer is given up (the connection
        broke).
        """
        with self._lock:
            sent = self._open.pop(number, 0.0)
            for job in jobs:
                self._held[job.token] = Held(job, sent)
                self.claimed_total += 1

    def answered(self) -> int:
        """Return the highest number up to which no answer is outstanding: older leases unknown here never
        arrived.
        """
        with self._lock:
            return min(self._open) - 1 if self._open else self._number

    # Slots

    @property
    def free(self) -> int:
        """Slots without a job; jobs in the buffer are not counted."""
        return max(0, (self.slots or 0) - self._busy)

    @property
    def busy(self) -> int:
        """Jobs that Celery has and that have not ended."""
        return self._busy

    @property
    def pace_ms(self) -> float:
        """Mean run time; while all slots are busy at least how long ago one of them got free."""
        if self.slots is None or self._busy < self.slots:
            return self.mean_ms
        return max(self.mean_ms, (monotonic() - self._moved) * 1000)

    def hand(self, token: str) -> bool:
        """Note that a job goes to the pool now; False when it must not: the lease is lost or too old to be
        trusted.
        """
        with self._lock:
            held = self._held.get(token)
            if held is None or held.handed or held.cancelled:
                return False
            if self._is_fresh(held):
                held.handed = held.slot = True
                self._busy += 1
                self._moved = monotonic()
                return True
            self._return(token)
        self._announce(True)
        return False

    def may_start(self, token: str) -> bool:
        """Whether a job that was handed over, and waited for the pool since, may still be started."""
        held = self._held.get(token)
        return held is not None and not held.lost and not self.in_doubt and self._is_fresh(held)

    def _is_fresh(self, held: Held) -> bool:
        # Else the process stood still or was cut off since: another worker may have the job.
        return monotonic() - held.sure < self.lease_seconds

    def _return(self, token: str) -> None:
        del self._held[token]
        self.outbox.give_back(GivenBack(token))

    def park(self, token: str) -> bool:
        """Note that a job that was handed over waits for others of its batch: its slot is free again."""
        with self._lock:
            held = self._held.get(token)
            if held is None or not held.handed:
                return False
            held.handed = held.slot = False
            held.parked = True
            self.parked += 1
            self._busy -= 1
            return True

    def unpark(self, tokens: Iterable[str]) -> set[str]:
        """Note that these jobs go to the pool together, in one slot; returns those that may: they are neither
        lost, nor cancelled, nor given back, and their leases can be trusted.
        """
        with self._lock:
            waited = {token: held for token in tokens if (held := self._held.get(token)) and held.parked}
            self.parked -= len(waited)
            stale = [token for token, held in waited.items() if not self._is_fresh(held)]
            for token in stale:
                del waited[token]
                self._return(token)
            for held in waited.values():
                held.parked, held.handed, held.share = False, True, len(waited)
            if waited:
                next(iter(waited.values())).slot = True
                self._busy += 1
                self._moved = monotonic()
        if stale:
            self._announce(True)
        return set(waited)

    def _unparked(self, held: Held) -> None:
        if held.parked:
            held.parked = False
            self.parked -= 1

    def started(self, token: str, at: float | None = None) -> None:
        """Note that the pool runs the job since ``at`` (monotonic seconds)."""
        held = self._held.get(token)
        if held is not None:
            held.started = at if at is not None else monotonic()

    # Ends

    def settle(
        self,
        token: str,
        outcome: Any,
        run_ms: float | None = None,
        detail: dict[str, Any] | None = None,
        counts_as_failure: bool = False,
    ) -> None:
        """End a lease: its slot is free at once, its settle waits in the outbox until Redis has confirmed
        it. ``counts_as_failure``: for the breaker of the job's resource.
        """
        with self._lock:
            held = self._held.get(token)
            if run_ms is None:
                run_ms = held.ran_ms(monotonic()) if held else 0.0
            self.outbox.settle(Settlement(token, outcome, run_ms, detail, counts_as_failure))
            self.mean_ms += (run_ms - self.mean_ms) * (MEAN_STEP if self.ended_total else 1)
            self._ended(held)
        # The slot of a limited org or resource is free for others when Redis knows of the end, not before.
        self._announce(held is not None and held.job.limited)

    def then(self, token: str, tell: Callable[[str], None]) -> None:
        """Have ``tell`` called with Redis's word on the settle of this lease; it must not wait or fail."""
        held = self._held.get(token)
        if held is not None:
            held.then = tell

    def give_back(
        self, token: str, *, delay_ms: int = 0, lost: bool = False, detail: dict[str, Any] | None = None
    ) -> None:
        """End a lease without an outcome: the job waits again; ``lost``: this delivery counts."""
        with self._lock:
            held = self._held.get(token)
            self.outbox.give_back(GivenBack(token, delay_ms, lost, detail))
            self._ended(held)
        self._announce(True)

    def _ended(self, held: Held | None) -> None:
        if held is None:
            return
        held.ended = True
        self._unparked(held)
        if held.handed:
            self._busy -= held.slot
            self._moved = monotonic()
            held.handed = held.slot = False
            self.ended_total += 1

    def give_back_queue(self, queue: str) -> None:
        """Give back what was claimed ahead from ``queue``, which this process consumes no longer."""
        with self._lock:
            jobs = [job for job in list(self.buffer) if job.queue == queue]
            for job in jobs:
                self.buffer.remove(job)
                self.outbox.give_back(GivenBack(job.token))
        if jobs:
            self._announce(True)

    def confirm(self, items: Iterable[Settlement], words: Iterable[str]) -> None:
        """Redis answered: the leases are gone."""
        told: list[tuple[Callable[[str], None], str]] = []
        with self._lock:
            for item, word in zip(items, words, strict=True):
                held = self._held.pop(item.token, None)
                if held is not None and held.then is not None:
                    told.append((held.then, word))
                if word == "stale" and item.outcome != "retried":
                    self.stale_total += 1
                    # A process that stood still may learn of a lost lease by its settle, before any renewal.
                    if held is not None and not held.lost:
                        self.lost_total += 1

        for tell, word in told:
            tell(word)

    def forget(self, tokens: Iterable[str]) -> None:
        """Drop leases that were released."""
        with self._lock:
            for token in tokens:
                held = self._held.get(token)
                if held is not None and not held.handed:
                    del self._held[token]

    def trust(self, sent: float, named: Iterable[str]) -> None:
        """Redis has answered a renewal: what it was asked for and did not call lost is this process's.

        ``sent``: monotonic time at which the renewal was sent. ``named``: the tokens in it.
        """
        with self._lock:
            for token in named:
                held = self._held.get(token)
                if held is not None and not held.lost:
                    held.sure = sent
        if self.in_doubt:
            self.in_doubt = False
            self._announce(False)

    def lost(self, tokens: Iterable[str]) -> None:
        """Redis says that these leases are over: drop what has not started; what runs goes on, its settle
        will be stale.
        """
        with self._lock:
            for token in tokens:
                held = self._held.get(token)
                # Of one that has ended the settle tells: it may be on its way, and no lease was lost.
                if held is not None and not held.lost and not held.ended:
                    held.lost = True
                    self.lost_total += 1
                    if not held.handed:
                        self._unparked(held)
                        del self._held[token]

    def cancelled(self, tokens: Iterable[str], *, stop: bool = True) -> None:
        """Redis says that these jobs were cancelled: what the pool does not have yet ends here; the consumer
        stops the rest (:meth:`take_cancelled`), or without ``stop`` lets it end.
        """
        with self._lock:
            for token in tokens:
                held = self._held.get(token)
                if held is not None and not held.cancelled and (stop or not held.handed):
                    held.cancelled = True
                    if held.handed:
                        self._cancelled.append(token)
                    else:
                        self._unparked(held)
                        self.outbox.settle(Settlement(token, "cancelled"))
        self._announce(False)

    def take_cancelled(self) -> list[str]:
        """Take the tokens of jobs that were cancelled since the last call."""
        with self._lock:
            tokens = list(self._cancelled)
            self._cancelled.clear()
            return tokens

    def untaken(self, tokens: Iterable[str]) -> None:
        """These jobs are not yet to be found in the pool: have them taken again while they run."""
        with self._lock:
            for token in tokens:
                held = self._held.get(token)
                if held is not None and held.handed:
                    self._cancelled.append(token)

    @property
    def rests(self) -> bool:
        """Whether it takes no new job: it is quiet, or it ends."""
        return self.draining or self.quiet

    def drop_buffer(self) -> list[str]:
        """Drop what has not started, in the buffer and in batches that wait; returns the tokens, to be
        released.
        """
        with self._lock:
            tokens = list(self._take_buffer())
            if self.parked:
                tokens += [token for token, held in self._held.items() if held.parked]
                self.parked = 0
            for token in tokens:
                self._held.pop(token, None)
            return tokens

    def _take_buffer(self) -> Iterator[str]:
        # One by one: the consuming thread takes from one end and adds at the other meanwhile.
        with suppress(IndexError):
            while True:
                yield self.buffer.pop().token

    def return_ahead(self) -> bool:
        """Give back what was claimed ahead when long runs have taken all slots since, as other workers may be
        free; returns whether anything was.
        """
        if not self.returns_ahead or not self.buffer or self.free or self.pace_ms <= prefetch.LONG_MS:
            return False
        with self._lock:
            for token in self._take_buffer():
                if token in self._held:
                    self._return(token)
        return True

    def return_unstarted(self) -> None:
        """Give back what waits in the buffer and in batches; nothing that is left is in doubt."""
        for token in self.drop_buffer():
            self.outbox.give_back(GivenBack(token))
        self.in_doubt = False
        self._announce(True)

    def running(self) -> dict[str, float]:
        """Return ms run so far, by token, of every lease: what a renewal tells Redis."""
        now = monotonic()
        with self._lock:
            return {token: held.ran_ms(now) for token, held in self._held.items()}

    def jobs(self) -> list[Held]:
        """Return what is held now."""
        with self._lock:
            return list(self._held.values())

    # Whoever waits for a free slot or for something to send

    def subscribe(self, wake: Callable[[bool], None]) -> None:
        """Call ``wake`` after each end of a job, from the thread where it ended; with True when somebody
        else waits for Redis to know of it.
        """
        self._changed.append(wake)

    def unsubscribe(self, wake: Callable[[bool], None]) -> None:
        """Stop calling ``wake``."""
        if wake in self._changed:
            self._changed.remove(wake)

    def look(self) -> None:
        """Have the consuming thread look at what has changed, as its slots or whether it is quiet."""
        self._announce(False)

    def _announce(self, urgent: bool) -> None:
        for wake in self._changed:
            wake(urgent)
