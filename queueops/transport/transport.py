"""The kombu transports: ``queueops://`` and ``queueops-sentinel://``, with TLS as ``queueopss…``."""

from __future__ import annotations

import ssl
from threading import get_ident
from typing import Any

from kombu.transport import redis as stock
from redis import exceptions

from queueops import __version__
from queueops.transport.beat import LeaseThread
from queueops.transport.channel import Channel as LeaseChannel
from queueops.transport.holder import Holder
from queueops.transport.holders import retire
from queueops.transport.sentinel import SentinelChannel

_threads: dict[str, LeaseThread] = {}


def lease_thread(holder: Holder) -> LeaseThread | None:
    """Return the lease thread of ``holder``, if it consumes."""
    return _threads.get(holder.name)


def end_leases(holder: Holder, patience: float = 0.0) -> None:
    """Settle and release all that ``holder`` has, end its lease thread and forget both.

    ``patience``: seconds to wait for a broker that is away while ends of jobs wait to be told.
    """
    holder.draining = True
    thread = _threads.pop(holder.name, None)
    if thread is not None:
        thread.stop(patience)
    retire(holder)


class Poller(stock.MultiChannelPoller):
    """kombu's poller; without an event loop it delivers what is buffered before it polls, one message a
    call.
    """

    #: The event loop, when there is one.
    hub: Any = None
    #: Identifier of the event loop's thread; a slot that is freed there needs no wake-up.
    loop_thread = 0

    def on_poll_init(self, poller: Any) -> None:
        """Take over the event loop's poller."""
        self.poller = poller

    @property
    def in_hub(self) -> bool:
        """Whether an event loop drives this poller; otherwise somebody calls ``drain_events``."""
        return self.hub is not None

    def maybe_restore_messages(self) -> None:
        """Nothing: leases expire in the broker."""

    def get(self, callback: Any, timeout: float | None = None) -> None:
        """Deliver one message or raise ``Empty``."""
        for channel in list(self._channels):
            if channel.active_queues and channel.hand_over():
                return
        super().get(callback, timeout)

    def on_poll_start(self) -> None:
        """Hand over what is buffered, also while the socket waits for the bell; then claim.

        Runs at each turn of the loop, so it leaves out what stock repeats for sockets that are at work.
        """
        self.loop_thread = get_ident()
        for channel in list(self._channels):
            if channel.active_queues:
                if self.in_hub:
                    channel.hand_over()
                if not channel._in_poll:
                    self._register_BRPOP(channel)
            if channel.active_fanout_queues and not channel._in_listen:
                self._register_LISTEN(channel)

    @property
    def fds(self) -> dict[int, Any]:
        """The sockets to be polled; in an event loop only those that it does not poll yet."""
        found: dict[int, Any] = self._fd_to_chan
        return (
            found if self.hub is None else {fd: at for fd, at in found.items() if fd not in self.hub.readers}
        )

    def forget_wake(self, fd: int) -> None:
        """Stop polling a channel's wake-up."""
        self._fd_to_chan.pop(fd, None)
        try:
            self._unregister_from_poll(fd)
        except (KeyError, ValueError, OSError):
            pass


class Transport(stock.Transport):
    """The engine behind kombu's interface. ``driver_type`` stays ``redis``: Celery switches features on by
    it.
    """

    Channel = LeaseChannel
    driver_name = "queueops"
    tls = False

    implements = stock.Transport.implements.extend(batch_publish=False)
    # A demoted or busy primary is a connection to give up, not a worker to end.
    connection_errors = (
        *stock.Transport.connection_errors,
        exceptions.ReadOnlyError,
        exceptions.MasterDownError,
        exceptions.ClusterDownError,
        exceptions.TryAgainError,
    )

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.cycle = Poller()
        if self.tls and not client.ssl:
            # kombu knows only the literal scheme "rediss"; an alias would silently speak plain text.
            client.ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}

    @property
    def supports_batch_publish(self) -> bool:
        """Return False: a publish is one script already."""
        return False

    def driver_version(self) -> str:
        """Return the version of queueops."""
        return __version__

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Have ``loop`` drive the poller."""
        self.cycle.hub = loop
        super().register_with_event_loop(connection, loop)

    def keep_leases(self, channel: LeaseChannel) -> None:
        """Start the process's lease thread, or let it follow this channel's connection."""
        holder = channel.holder
        thread = _threads.get(holder.name)
        # Its store is made here and now: when the thread has to connect again, this channel may be closed.
        if thread is None:
            thread = LeaseThread(
                holder, channel.lease_store(), heartbeat=float(channel.heartbeat_seconds), version=__version__
            )
            _threads[holder.name] = thread
            thread.start()
        else:
            thread.use(channel.lease_store())

    def flush_soon(self, channel: LeaseChannel) -> None:
        """Let the lease thread send what waits."""
        if thread := _threads.get(channel.holder.name):
            thread.soon()

    def renew_soon(self, channel: LeaseChannel) -> None:
        """Let the lease thread renew at once."""
        if thread := _threads.get(channel.holder.name):
            thread.renew_soon()


class TLSTransport(Transport):
    """``queueopss://``: TLS, and a certificate that is verified unless the options say otherwise."""

    tls = True


class SentinelTransport(Transport):
    """``queueops-sentinel://``: the primary is found by Sentinel; needs the transport option
    ``master_name``.
    """

    default_port = 26379
    Channel = SentinelChannel


class SentinelTLSTransport(SentinelTransport):
    """``queueopss-sentinel://``: the same with TLS."""

    tls = True
