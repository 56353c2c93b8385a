"""A thread, a lock, a wake-up and a socket that gevent's monkey patching does not reach.

A lease must be renewed while greenlets compute, while the event loop stands still in a soft shutdown, and
while a pool is full. So the lease thread is a native thread; under gevent it may touch nothing that is
patched.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Any

import redis


def _original(module: str, name: str) -> Any:
    """Return ``module.name`` as it was before gevent patched it."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched(module):
        return monkey.get_original(module, name)
    return getattr(__import__(module), name)


def patched() -> bool:
    """Return whether sockets are gevent's."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


def lock() -> Any:
    """Return a native lock. Its sections must not yield: no I/O, no logging."""
    return _original("_thread", "allocate_lock")()


def start_thread(run: Callable[[], None]) -> None:
    """Run ``run`` in a native thread that does not keep the process alive."""
    _original("_thread", "start_new_thread")(run, ())


class Wake:
    """A wake-up between threads, by a pipe: it works with and without gevent, and inside a poller."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)
        self._closed = self._is_set = False

    def set(self) -> None:
        """Wake the waiter; many calls before it wakes count as one."""
        if self._closed or self._is_set:
            return
        self._is_set = True
        try:
            os.write(self._writer, b"1")
        except OSError as error:  # a full pipe is a wake-up that is already there; a closed one has no waiter
            if error.errno not in (errno.EAGAIN, errno.EBADF, errno.EPIPE):
                raise

    def clear(self) -> None:
        """Take all wake-ups; the caller looks at what they are about afterwards, not before."""
        try:
            while os.read(self.reader, 4096):
                pass
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EBADF):
                raise
        # After the read, or a byte written in between would be taken and the mark stay set for ever. Whoever
        # finds it set until here has changed something that the caller is yet to look at.
        self._is_set = False

    def wait(self, seconds: float) -> None:
        """Wait at most ``seconds`` in a native thread, then take all wake-ups."""
        _original("select", "select")([self.reader], [], [], max(0.0, seconds))
        self.clear()

    def close(self) -> None:
        """Close both ends."""
        if not self._closed:
            self._closed = True
            os.close(self.reader)
            os.close(self._writer)


def connection_class(cls: type[redis.Connection]) -> type[redis.Connection]:
    """Return ``cls`` with a native TCP socket where gevent patched it; TLS keeps gevent's, in the thread's
    own hub.
    """
    if not patched() or issubclass(cls, (redis.SSLConnection, redis.UnixDomainSocketConnection)):
        return cls

    class NativeConnection(cls):  # type: ignore[misc, valid-type]
        def _connect(self) -> Any:
            socket_type, getaddrinfo = _original("socket", "socket"), _original("socket", "getaddrinfo")
            failure: OSError | None = None
            for family, kind, proto, _name, address in getaddrinfo(self.host, self.port, 0, 1):
                sock = socket_type(family, kind, proto)
                try:
                    sock.setsockopt(6, 1, 1)  # TCP_NODELAY
                    sock.settimeout(self.socket_connect_timeout)
                    sock.connect(address)
                    sock.settimeout(self.socket_timeout)
                    return sock
                except OSError as error:
                    failure = error
                    sock.close()
            raise failure or OSError("no address")

    return NativeConnection
