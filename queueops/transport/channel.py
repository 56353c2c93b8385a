"""kombu's Redis channel with lanes and leases instead of lists.

Inherited as they are: fanout, publish/subscribe, bindings, TLS, Sentinel. Overridden: how a message is
put, claimed, acknowledged and counted. ``tests/transport/test_seams.py`` holds every overridden name to
kombu's signature.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import cached_property
from queue import Empty
from threading import get_ident
from typing import Any

import redis
from kombu.log import get_logger
from kombu.transport import redis as stock
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError

from queueops.engine import scripts
from queueops.engine.store import Store
from queueops.engine.types import Claim, Leased
from queueops.transport import native, prefetch
from queueops.transport.consumption import Consumption
from queueops.transport.holder import Holder
from queueops.transport.holders import holder_for
from queueops.transport.messages import broken_message, to_message
from queueops.transport.publishing import PublishingChannel, is_reply
from queueops.transport.qos import QoS
from queueops.transport.turns import Refusals, Turns

logger = get_logger(__name__)


def _look_again() -> None:
    """Nothing: a timer that fires makes the event loop turn."""


class Channel(PublishingChannel):
    """A channel on the engine."""

    QoS = QoS

    # A hung broker must not hang a publisher, and a claim's answer is read only when it is there.
    socket_timeout = 1.0
    socket_connect_timeout = 1.0
    socket_keepalive = True

    lease_seconds = 30.0
    heartbeat_seconds = 10.0
    prefetch: prefetch.Prefetch = "auto"
    queue_weights: dict[str, float] = {}

    #: Set by a worker's boot step: this channel fills the slots of the process's pool. Another consumer of
    #: the same process (a task that inspects, gevent's pidbox) has its own credit and its own buffer.
    serves_pool = False

    #: kombu's: the connection on which a reply is pending.
    _in_poll: Any

    from_transport_options = (
        *PublishingChannel.from_transport_options,
        "lease_seconds",
        "heartbeat_seconds",
        "prefetch",
        "queue_weights",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._no_ack: set[str] = set()
        self._consumption: Consumption | None = None
        self._wake: native.Wake | None = None
        self._own_buffer: deque[Leased] = deque()
        self._refusals = Refusals()
        self._asked = 0
        self._active: list[str] | None = None
        super().__init__(*args, **kwargs)
        self._turns = Turns(self.queue_weights)
        self.store = Store(
            redis.Redis(connection_pool=self.pool),
            prefix=self.global_keyprefix,
            lease_ms=int(self.lease_seconds * 1000),
        )
        self.handlers["WAKE"] = self._woken

    @cached_property
    def holder(self) -> Holder:
        """The leases of this process on this broker."""
        client = self.connection.client
        return holder_for(";".join(client.alt) if client.alt else client.as_uri())

    # Consuming: who may be given what

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        """Consume from ``queue``; with ``no_ack`` its jobs are claimed without a lease."""
        if no_ack:
            self._no_ack.add(queue)
        if not self._wake and queue not in self._fanout_queues:
            self._listen_for_wake()
        started = super().basic_consume(queue, no_ack, *args, **kwargs)
        if not no_ack and queue not in self._fanout_queues:
            self.connection.keep_leases(self)
        return started

    def _basic_cancel(self, consumer_tag: str) -> Any:
        self._no_ack.discard(self._tag_to_queue.get(consumer_tag))
        cancelled = super()._basic_cancel(consumer_tag)
        if not self.active_queues:
            self._give_up_claim()  # nobody will read the answer: what it leased must not wait for our end
        return cancelled

    def _give_up_claim(self) -> None:
        consumption = self._consumption
        if self._in_poll and consumption is not None and consumption.pending is not None:
            self._in_poll.disconnect()
            consumption.broken()
            self._in_poll = None
            self.connection.renew_soon(self)

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """Set the credit; for a worker it is the number of its slots, which autoscaling changes."""
        super().basic_qos(prefetch_size, prefetch_count, apply_global)
        if self.serves_pool and prefetch_count:
            self.holder.slots = prefetch_count
            self.holder.lease_seconds = self.lease_seconds
            self.holder.returns_ahead = self.prefetch == "auto"

    def _listen_for_wake(self) -> None:
        # A slot that is freed in another thread or greenlet must interrupt the poll of the consuming one.
        self._wake = native.Wake()
        self.holder.subscribe(self._slot_freed)
        cycle = self.connection.cycle
        cycle._fd_to_chan[self._wake.reader] = (self, "WAKE")
        cycle.poller.register(self._wake.reader, cycle.eventflags)

    def _slot_freed(self, urgent: bool) -> None:
        consumption = self._consumption
        if self.serves_pool and self.holder.rests:
            self.connection.flush_soon(self)  # there will be no claim
        elif consumption is not None and consumption.pending is not None and consumption.pending.bell:
            # The socket is blocked on the bell, so this settle can not travel with a claim.
            self.connection.flush_soon(self)
        elif (
            urgent
            and self.serves_pool
            and (self.holder.outbox.has_given_back or self.holder.free <= len(self._buffer))
        ):
            self.connection.flush_soon(
                self
            )  # nor what no claim takes along, or where no slot is free for one
        elif self._wake is not None and self._runs_low() and get_ident() != self.connection.cycle.loop_thread:
            self._wake.set()  # the loop's own thread passes on_poll_start before it polls again

    def _runs_low(self) -> bool:
        """Whether the pool needs more; with half of its spare jobs left, another end will say so."""
        holder = self.holder
        slots = holder.slots or 0
        return holder.busy <= slots + prefetch.spare(slots, holder.pace_ms, holder.ended_total) // 2

    def _woken(self) -> None:
        if self._wake is not None:
            self._wake.clear()
        raise Empty

    @property
    def _buffer(self) -> deque[Leased]:
        return self.holder.buffer if self.serves_pool else self._own_buffer

    def _free(self) -> int:
        return self.holder.free if self.serves_pool else self.qos.credit

    def _wanted(self) -> tuple[int, int]:
        """Return jobs wanted for free slots, and ahead of them."""
        holder, waiting = self.holder, len(self._buffer)
        if self.serves_pool and holder.rests:
            return 0, 0
        free = max(0, self._free() - waiting)
        if not self.serves_pool or holder.slots is None:
            return free, 0
        room = prefetch.ahead(self.prefetch, holder.slots, holder.pace_ms, holder.ended_total)
        held_ahead = max(0, waiting + holder.busy - holder.slots)
        ahead = max(0, room - held_ahead)
        if not free and held_ahead * 2 > room:
            ahead = 0  # half of it is still here: one bigger claim later costs less than two small ones
        if holder.max_jobs:
            left = max(0, holder.max_jobs - holder.ended_total - holder.busy - holder.parked - waiting)
            free, ahead = min(free, left), min(ahead, max(0, left - free))
        return free, ahead

    def _served(self) -> tuple[list[str], bool]:
        """Return the queues of the next claim in serving order, and whether they want no lease."""
        queues = [queue for queue in self.active_queues if not is_reply(queue)]
        if self._no_ack:
            plain = [queue for queue in queues if queue in self._no_ack]
            leased = [queue for queue in queues if queue not in self._no_ack]
            if plain and (not leased or self._turns.every_other("plain")):
                return plain, True
            queues = leased
        return self._turns.order(queues) if len(queues) > 1 else queues, False

    @property
    def active_queues(self) -> list[str]:
        """Queues that are consumed, without those of fanout exchanges; asked several times a loop turn."""
        if self._active is None:
            self._active = super().active_queues
        return self._active

    def _update_queue_cycle(self) -> None:
        self._active = None
        # Only replies are popped from lists; stock must never pop an element of the depth mirror.
        self._queue_cycle.update([queue for queue in self.active_queues if is_reply(queue)])

    # Consuming: the exchange on the socket (the names are kombu's; nothing here is a BRPOP)

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self.active_queues
        replies = [queue for queue in queues if is_reply(queue)]
        if replies and (len(replies) == len(queues) or self._turns.every_other("reply")):
            super()._brpop_start(timeout if len(replies) == len(queues) else 0.1)
            return
        free, ahead = self._wanted()
        if self._consumption is None:
            self._consumption = Consumption(self.store, self.holder)
        consumption, connection = self._consumption, self.client.connection
        if not free and (not ahead or consumption.is_sated()):
            return
        if self._refusals.rests:
            return
        self._in_poll, self._brpop_sent_at = connection, stock.monotonic()
        # A job may have ended while the last claim was on its way: behind the bell its settle, and with it
        # the slot of a capped org, would wait up to a second.
        if consumption.rest is not None and not self.holder.outbox.has_settles:
            consumption.send_bell(connection, [queue for queue in queues if not is_reply(queue)])
        else:
            served, forget = self._served()
            self._asked = free + ahead
            consumption.send_claim(connection, served, free, ahead, forget)

    def _brpop_read(self, **options: Any) -> bool:
        if self._consumption is None or self._consumption.pending is None:
            return bool(super()._brpop_read(**options))
        try:
            claim = self._read_answer()
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if claim is not None:
            self._turns.gave(
                (job.queue for job in claim.jobs), full=claim.more or len(claim.jobs) >= self._asked
            )
            self._buffer.extend(claim.jobs)
        if not self.hand_over():
            raise Empty
        return True

    def _read_answer(self) -> Claim | None:
        consumption, connection = self._consumption, self.client.connection
        assert consumption is not None
        try:
            claim = consumption.read(connection.read_response)
            if claim is not None:
                self._refusals.none()
            return claim
        except NoScriptError:
            for name in ("claim", "settle"):  # the server was restarted, or another was promoted
                connection.send_command("SCRIPT", "LOAD", scripts.source(name))
                connection.read_response()
            return None
        except BaseException as error:
            connection.disconnect()  # what else lies in the socket answers nothing we still ask
            if scripts.is_refusal(error):
                self._back_off(error)
                return None
            if isinstance(error, ReadOnlyError) or str(error).startswith("UNBLOCKED"):
                raise RedisConnectionError(
                    str(error)
                ) from error  # the primary was demoted: look for the new one
            raise

    def _back_off(self, error: BaseException) -> None:
        """Claim again later: the server refused, and would refuse at once. No worker ends by that."""
        delay = self._refusals.add()
        if hub := self.connection.cycle.hub:
            hub.call_later(delay, _look_again)  # a turn of the loop
        assert self._consumption is not None
        told = scripts.told(error, self._consumption.reading)
        if self._refusals.is_news(told):
            logger.error("The broker refuses to give out jobs; this worker goes on asking: %s", told)

    def hand_over(self) -> int:
        """Deliver jobs from the buffer to free slots; returns how many.

        Without an event loop one at a time, as kombu's callers expect of ``drain_events``.
        """
        holder, buffer, delivered = self.holder, self._buffer, 0
        room, most = 0, 1
        if self.serves_pool:
            if holder.rests or holder.in_doubt:
                return 0
            room = slots = holder.slots or 1
            if not holder.exact:
                room += prefetch.spare(slots, holder.pace_ms, holder.ended_total)
            most = room if self.connection.cycle.in_hub else 1
        while buffer and delivered < most and (not self.serves_pool or holder.busy < room):
            try:
                job = buffer.popleft()
            except IndexError:  # the lease thread has just given it back
                break
            if job.queue not in self.connection._callbacks:
                holder.give_back(job.token)  # its consumer was cancelled while the claim was on its way
                continue
            if self.serves_pool and not holder.hand(job.token):
                continue
            delivered += 1
            try:
                message = to_message(job)
            except ValueError:
                message = broken_message(job)
            self.connection._deliver(message, job.queue)
        if buffer and delivered == most and self._wake is not None and self.connection.cycle.in_hub:
            self._wake.set()  # the pool ran them at once (solo): look at signals, then go on
        return delivered

    def _on_connection_disconnect(self, connection: Any) -> None:
        if self._consumption is not None and self._in_poll is connection:
            self._consumption.broken()
        super()._on_connection_disconnect(connection)

    # Reading without a consumer, and questions about a queue

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """Claim one message of ``queue``; returns ``None`` when there is none to be had now."""
        if is_reply(queue):
            return super().basic_get(queue, no_ack, **kwargs)
        number = self.holder.open_claim()
        jobs: list[Leased] = []
        try:
            jobs = self.store.claim([queue], 1, 0, self.holder.name, number, forget=no_ack).jobs
        finally:
            self.holder.close_claim(number, [] if no_ack else jobs)
        if not jobs:
            return None
        if not no_ack:
            self.connection.keep_leases(self)
        message = self.Message(to_message(jobs[0]), channel=self)
        if not no_ack:
            self.qos.append(message, message.delivery_tag)
        return message

    def _size(self, queue: str) -> int:
        if is_reply(queue):
            return int(super()._size(queue))
        with self.conn_or_acquire() as client:
            return int(client.llen(queue))

    def _purge(self, queue: str) -> int:
        waiting = self.store.purge(queue)
        return waiting + int(super()._purge(queue)) if is_reply(queue) else waiting

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        if not is_reply(queue):
            self.store.purge(queue)
        super()._delete(queue, *args, **kwargs)

    # Ending

    def close(self) -> None:
        """Close the channel. A worker's leases are the process's and stay; a plain consumer's go back."""
        self._give_up_claim()
        if self._wake is not None:
            self.holder.unsubscribe(self._slot_freed)
            self.connection.cycle.forget_wake(self._wake.reader)
            self._wake.close()
            self._wake = None
        if not self.closed and self._own_buffer:
            tokens = [job.token for job in self._own_buffer]
            self._own_buffer.clear()
            self.holder.forget(tokens)
            with suppress(redis.RedisError, OSError):  # their leases lapse by themselves
                self.store.release(tokens)
        try:
            super().close()
        except (redis.RedisError, OSError):
            # The broker is away, and stock gives up half-way, at the fanout bindings that it cleans away: the
            # sockets would stay open, and every further close would fail again.
            self.auto_delete_queues.clear()
            super().close()

    def lease_store(self) -> Store:
        """Return a store on connections of its own, for the lease thread."""
        pool = self._get_pool()
        pool.connection_kwargs.update(socket_timeout=3.0, socket_connect_timeout=3.0, health_check_interval=0)
        pool.connection_class = native.connection_class(pool.connection_class)
        return Store(
            redis.Redis(connection_pool=pool),
            prefix=self.global_keyprefix,
            lease_ms=int(self.lease_seconds * 1000),
        )
