"""Credit and acknowledgement of a plain kombu consumer. A worker's Request settles by itself, past this."""

from __future__ import annotations

from typing import Any

from kombu.transport import virtual

from queueops.engine.types import Settlement


class QoS(virtual.QoS):
    """Acknowledges by lease token, at once.

    Credit is counted where claims are made, so a reply is always read: one that is left in the socket
    would hold leases.
    """

    def can_consume(self) -> bool:
        """Return True: see the class."""
        return True

    @property
    def credit(self) -> int:
        """Messages that the consumer may still be given; without a prefetch count always one more."""
        if not self.prefetch_count:
            return 1
        self._flush()
        return max(0, int(self.prefetch_count) - len(self._delivered))

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that is to be acknowledged; a worker's own table has noted it already."""
        if not self.channel.serves_pool:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Settle the lease as succeeded."""
        self._settle(Settlement(delivery_tag, "succeeded"))

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give the job back to its lane, or bury it among the dead letters."""
        if requeue:
            self.channel.store.release([delivery_tag])
            self.channel.holder.forget([delivery_tag])
            self._quick_ack(delivery_tag)
        else:
            self._settle(Settlement(delivery_tag, "dead", detail={"reason": "rejected", "error": "Reject"}))

    def _settle(self, item: Settlement) -> None:
        self.channel.holder.confirm([item], self.channel.store.settle([item]))
        self._quick_ack(item.token)

    def restore_unacked(self, client: Any = None) -> list[Any]:
        """Give back what this channel delivered and nobody acknowledged."""
        self._flush()
        tokens = list(self._delivered)
        self._delivered.clear()
        if tokens:
            self.channel.store.release(tokens)
            self.channel.holder.forget(tokens)
        return []

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: leases expire in the broker, and stock's lists are not ours to restore."""
