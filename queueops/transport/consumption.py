"""Consuming over one socket: claim, read, hand over, and wait for the bell.

The socket carries one exchange at a time, each sent without waiting and read when the poller says so:

- a *claim*, with the settles that wait, in one write;
- or, after a claim that found nothing, a ``BLPOP`` on the queues' bells.

A claim is always sent before a ``BLPOP``, so no wake-up is lost: work that comes after the empty answer
rings the bell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from redis.exceptions import NoScriptError, ResponseError

from queueops.engine import replies, scripts
from queueops.engine.store import STEP, Store
from queueops.engine.types import Claim, Settlement
from queueops.transport.holder import Holder

#: Work that comes while all slots are busy is looked for again after this.
SATED_SECONDS = 0.25


class Exchange:
    """One question on the socket and what is needed to read its answer."""

    __slots__ = ("bell", "free", "number", "settles")

    def __init__(
        self, *, bell: bool = False, number: int = 0, free: int = 0, settles: list[Settlement] | None = None
    ) -> None:
        self.bell = bell
        self.number = number
        self.free = free
        self.settles = settles or []


class Consumption:
    """The exchanges of one channel. ``send`` writes packed commands, ``read`` reads one reply."""

    def __init__(self, store: Store, holder: Holder) -> None:
        self.store = store
        self.holder = holder
        self.pending: Exchange | None = None
        #: Seconds to wait for the bell before the next claim; ``None``: claim at once.
        self.rest: float | None = None
        #: Jobs that had ended when a claim for no free slot found nothing: another is of use after the next.
        self.sated = -1
        self._sated_at = 0.0
        #: The script whose answer was read last.
        self.reading = "claim"

    def is_sated(self) -> bool:
        """Whether a claim for no free slot is too soon: nothing ended since the last found nothing."""
        return self.sated == self.holder.ended_total and monotonic() - self._sated_at < SATED_SECONDS

    def send_claim(self, connection: Any, queues: Sequence[str], free: int, ahead: int, forget: bool) -> None:
        """Send the settles that wait and a claim."""
        store, holder = self.store, self.holder
        self.rest = None
        number = holder.open_claim()
        settles = holder.outbox.take_settles(STEP)
        self.pending = Exchange(number=number, free=free, settles=settles)
        commands: list[tuple[Any, ...]] = []
        if settles:
            commands.append(
                ("EVALSHA", scripts.digest("settle"), 1, store.prefix, *store.settle_args(settles))
            )
        args = store.claim_args(queues, free, ahead, holder.name, number, forget)
        commands.append(("EVALSHA", scripts.digest("claim"), 1, store.prefix, *args))
        connection.send_packed_command(connection.pack_commands(commands))

    def send_bell(self, connection: Any, queues: Sequence[str]) -> None:
        """Wait for a bell of ``queues``, at most as long as the last claim said."""
        self.pending = Exchange(bell=True)
        keys = [self.store.key("bell", queue=queue) for queue in queues]
        connection.send_command("BLPOP", *keys, f"{self.rest or 1.0:.3f}")
        self.rest = None

    def read(self, read_reply: Callable[[], Any]) -> Claim | None:
        """Read the answer that is pending; returns the claim, or ``None`` after a bell or a script that
        was not loaded.
        """
        exchange = self.pending
        assert exchange is not None
        if exchange.bell:
            read_reply()
            self.pending = None
            return None
        self.reading = "settle" if exchange.settles else "claim"
        if exchange.settles:
            try:
                words = replies.words(read_reply())
            except NoScriptError:
                self.holder.outbox.unsent(exchange.settles)
            else:
                self.holder.confirm(exchange.settles, words)
            exchange.settles = []
            self.reading = "claim"
        try:
            claim = replies.claim(read_reply())
        except ResponseError:
            self.pending = None
            self.holder.close_claim(exchange.number)
            raise
        self.pending = None
        self.holder.close_claim(exchange.number, claim.jobs)
        if not claim.jobs and not claim.more:
            if exchange.free:
                self.rest = claim.wait_ms / 1000
            else:
                # Not the bell: it would block the socket, and the next slot that is freed must claim at once.
                self.sated, self._sated_at = self.holder.ended_total, monotonic()
        return claim

    def broken(self) -> None:
        """The connection is gone: what was sent without an answer is sent again, or given up."""
        exchange, self.pending = self.pending, None
        self.rest = None
        if exchange is not None and not exchange.bell:
            self.holder.outbox.unsent(exchange.settles)
            self.holder.close_claim(exchange.number)
