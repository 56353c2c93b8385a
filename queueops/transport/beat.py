"""The lease thread: one native thread per consuming process, independent of the event loop.

Every second it beats the pulse, sends settles that no claim took along, and reaps expired leases; every
heartbeat it renews. It starts with the first consumer that acknowledges, never in publishers or pool
children, and it logs nothing: under gevent logging's locks are not safe across native threads.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from itertools import groupby
from time import monotonic, time
from typing import Any

import redis

from queueops.engine import scripts
from queueops.engine.store import STEP, Store
from queueops.transport import native
from queueops.transport.holder import Holder

TICK_SECONDS = 1.0
#: A renewal is tried three times within a lease of 30 s.
SOCKET_TIMEOUT = 3.0
#: Between two tries of a process that ends while the broker is away.
RETRY_SECONDS = 0.25


class LeaseThread:
    """Keeps one holder's leases alive.

    ``store``: on connections that are this thread's alone. ``heartbeat``: seconds between renewals.
    """

    def __init__(self, holder: Holder, store: Store, *, heartbeat: float, version: str) -> None:
        self.holder = holder
        self.heartbeat = heartbeat
        self.version = version
        self._store = store
        self._wake = native.Wake()
        self._pid = os.getpid()
        self._stopping = False
        self._renew_now = True
        self._busy = native.lock()
        self._following = native.lock()
        self._started_ms = int(time() * 1000)
        #: What a script was last refused for; whoever may log tells it.
        self.refused = ""
        #: Monotonic time of the last answer from Redis: a liveness probe reads it.
        self.last_answer = monotonic()

    def start(self) -> None:
        """Start the thread."""
        native.start_thread(self._run)

    def use(self, store: Store) -> None:
        """Follow the transport to where it is connected now, and renew at once.

        Until that is answered nothing more is handed over: the broker may have given the jobs to another
        worker, or be a replica that was promoted and never heard of the claim.
        """
        with self._following:
            self.holder.in_doubt = True
            self._store, self._renew_now = store, True
        self._wake.set()

    def soon(self) -> None:
        """Send what waits now, not at the next tick."""
        self._wake.set()

    def renew_soon(self) -> None:
        """Renew at the next turn: registers the process and gives back leases it never received."""
        self._renew_now = True
        self._wake.set()

    def stop(self, patience: float = 0.0) -> None:
        """End the thread: send what waits, give back what is held, strike the process off.

        A job that had started and must not run twice is lost with it. ``patience``: seconds to wait for a
        broker that is away while it has not been told of a job's end; such a job would run again.
        """
        self._stopping = True
        self._wake.set()
        detail = {
            "reason": "worker_lost",
            "error": "WorkerStopped",
            "worker": self.holder.name,
            "message": "The worker was stopped while the job ran, and the job must not run twice.",
        }
        deadline = monotonic() + patience
        while True:
            try:
                with self._busy:
                    self._send()
                    once = [
                        held.job.token
                        for held in self.holder.jobs()
                        if held.started is not None and held.job.once
                    ]
                    self._store.release(once, lost=True, detail=detail)
                    self._store.leave(self.holder.name)
                return
            except (redis.RedisError, OSError):
                self._store.client.connection_pool.disconnect()
                if not self.holder.outbox.waits or monotonic() >= deadline:
                    return  # the lease expires by itself
                self._wake.wait(RETRY_SECONDS)

    def _run(self) -> None:
        next_tick = next_renew = 0.0
        while self._lives():
            now = monotonic()
            try:
                with self._busy:
                    if not self._lives():
                        return
                    refused = self._refused
                    refused("settle", self._settle)
                    refused("release", self._give_back)
                    refused("release", self._drop_buffer)
                    self._return_ahead()
                    if self._renew_now or now >= next_renew:
                        self._renew_now = False  # before it: what is asked for meanwhile is not in it
                        if refused("renew", self._renew):
                            self._renew_now = True
                            self._end_doubt()
                        next_renew = now + self.heartbeat
                    if now >= next_tick:
                        refused("reap", self._store.reap)
                        next_tick = now + TICK_SECONDS
                    self.last_answer = monotonic()
            except Exception:
                # Try again each tick: the lease is long enough for several. Whatever it was: without this
                # thread every lease of the process would lapse, and nothing would say so.
                self._store.client.connection_pool.disconnect()
                self._renew_now = True
                next_tick = next_renew = now + TICK_SECONDS
            self._wake.wait(max(0.005, min(next_tick, next_renew) - monotonic()))

    def _lives(self) -> bool:
        return not self._stopping and os.getpid() == self._pid

    def _refused(self, script: str, step: Callable[[], object]) -> bool:
        """Run one step; True when the server refused it, which must not keep the others from being run."""
        try:
            step()
        except redis.ResponseError as error:
            if not scripts.is_refusal(error):
                raise
            self.refused = scripts.told(error, script)
            return True
        return False

    def _send(self) -> None:
        self._settle()
        self._give_back()
        self._drop_buffer()

    def _settle(self) -> None:
        holder = self.holder
        while items := holder.outbox.take_settles(STEP):
            try:
                words = self._store.settle(items)
            except BaseException:
                holder.outbox.unsent(items)
                raise
            holder.confirm(items, words)

    def _give_back(self) -> None:
        holder = self.holder
        returned = holder.outbox.take_given_back()
        told = 0
        try:
            # Together what goes back alike: until all are told there is no renewal.
            for (delay_ms, lost, detail), alike in groupby(returned, key=lambda item: item[1:]):
                tokens = [item.token for item in alike]
                self._store.release(tokens, delay_ms=delay_ms, lost=lost, detail=detail)
                holder.forget(tokens)
                told += len(tokens)
        except BaseException:
            holder.outbox.unreleased(returned[told:])
            raise

    def _drop_buffer(self) -> None:
        if self.holder.rests and (tokens := self.holder.drop_buffer()):
            self._store.release(tokens)

    def _return_ahead(self) -> None:
        if self.holder.return_ahead():
            self._wake.set()

    def _renew(self) -> None:
        holder, store, sent = self.holder, self._store, monotonic()
        answered, ran = holder.answered(), holder.running()
        renewal = store.renew(holder.name, ran, answered=answered, registration=self._registration())
        if renewal.lost:
            holder.lost(renewal.lost)
        if renewal.cancelled:
            holder.cancelled(renewal.cancelled)
        if renewal.spared:
            holder.cancelled(renewal.spared, stop=False)
        with self._following:
            if store is self._store:  # what the broker of before has said settles no doubt about this one
                holder.trust(sent, ran)

    def _end_doubt(self) -> None:
        # The broker runs what it can of a renewal, so leases last; but it does not say which are lost. What
        # has not started goes back, or nothing would be handed over until somebody mends what is refused.
        if self.holder.in_doubt:
            self.holder.return_unstarted()

    def _registration(self) -> dict[str, Any] | None:
        holder = self.holder
        if holder.slots is None:
            return None
        return {
            "hostname": socket.gethostname(),
            "node": holder.node,
            "pid": self._pid,
            "queues": list(holder.queues),
            "slots": 0 if holder.rests else holder.slots,
            "version": self.version,
            "started_ms": self._started_ms,
            "lease_ms": self._store.lease_ms,
            "pool": holder.pool,
            "size": holder.slots,
            "bounds": holder.bounds,
            "memory_bytes": holder.memory_bytes,
            "processed": holder.ended_total,
            "quiet": holder.quiet,
            "stopping": holder.draining,
        }
