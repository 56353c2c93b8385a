"""The connection of one delivery: to a checked address, and over by a deadline."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
from functools import cache
from typing import Any

import httpcore
import httpx

from tasks.addresses import checked_addresses

#: Bytes handed to the socket at a time: the deadline is looked at between two pieces.
_WRITE_PIECE = 16_384


class Deadline:
    """A point on the monotonic clock, *seconds* from now, that no read or write may pass."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def within(self, timeout: float | None) -> float:
        """Return *timeout*, in seconds, shortened to what is left. Raises TimeoutError when nothing is."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"The delivery took longer than {self._seconds:g} s in all")
        return left if timeout is None else min(timeout, left)


class CheckedTransport(httpx.HTTPTransport):
    """An httpx transport that connects only to addresses that :mod:`tasks.addresses` lets through.

    Proxies of the environment are not used: a proxy would resolve the name again, behind our back.
    """

    def __init__(self, deadline: Deadline, *, allow_private: bool) -> None:
        super().__init__(verify=_tls(), trust_env=False)
        # httpx has no argument for the network backend; its own pool has opened nothing yet and is replaced
        # by one that differs only in that.
        self._pool = httpcore.ConnectionPool(
            ssl_context=_tls(),
            max_connections=1,
            network_backend=_CheckedBackend(deadline, allow_private),
        )


class _CheckedBackend(httpcore.NetworkBackend):
    def __init__(self, deadline: Deadline, allow_private: bool) -> None:
        self._deadline = deadline
        self._allow_private = allow_private
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        limit = self._deadline.within(timeout)
        addresses = checked_addresses(host, port, timeout=limit, allow_private=self._allow_private)
        failure: Exception | None = None
        for address in addresses:
            try:
                stream = self._backend.connect_tcp(
                    str(address), port, self._deadline.within(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
            else:
                return _DeadlineStream(stream, self._deadline)
        raise failure or httpcore.ConnectError(f"{host} has no address")


class _DeadlineStream(httpcore.NetworkStream):
    """A stream whose every read and write is also bounded by the deadline.

    httpx's timeouts start again at each byte: alone they would let a receiver hold a worker for hours.
    """

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.within(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_PIECE):
            self._stream.write(buffer[start : start + _WRITE_PIECE], self._deadline.within(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        # The certificate is checked against the name of the URL, though the socket goes to a checked address.
        stream = self._stream.start_tls(ssl_context, server_hostname, self._deadline.within(timeout))
        return _DeadlineStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


@cache
def _tls() -> ssl.SSLContext:
    """The verifying context, made once: reading the certificates takes tens of milliseconds.

    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name an authority of one's own.
    """
    return httpx.create_ssl_context()
