"""A TCP proxy in front of a server that does, on command, what networks do.

It runs an event loop in a thread of its own; every command below may be called from the test's thread and
has taken effect when it returns.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from .ports import HOST

CHUNK_BYTES = 65536
# SO_LINGER on, with zero seconds: close() sends RST in place of FIN.
ABORT = struct.pack("ii", 1, 0)


class Link:
    """One client's connection and the one to the server behind it."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.reader = reader
        self.writer = writer
        self.upstream: asyncio.StreamWriter | None = None
        self.swallowed = False  # bytes were dropped: the two ends no longer agree, it can only be cut
        self.deaf: threading.Event | None = None  # set when the next reply is to be lost
        self.tails = {"request": b"", "reply": b""}

    async def run(self) -> None:
        try:
            upstream_reader, self.upstream = await asyncio.open_connection(HOST, self.proxy.target_port)
        except OSError:
            self.cut()
            return
        pumps = [
            asyncio.ensure_future(self._pump("request", self.reader, self.upstream)),
            asyncio.ensure_future(self._pump("reply", upstream_reader, self.writer)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        self.cut()
        for pump in pumps:
            pump.cancel()

    async def _pump(self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while data := await reader.read(CHUNK_BYTES):
                if self.proxy.black:
                    self.swallowed = True
                    continue
                if self._is_lost(way, data):
                    return
                if way == "reply" and self.proxy.reply_delay:
                    await asyncio.sleep(self.proxy.reply_delay)
                writer.write(data)
                await writer.drain()

    def _is_lost(self, way: str, data: bytes) -> bool:
        """True when this piece must not arrive: a test has asked for its loss."""
        if way == "reply" and self.deaf is not None:
            self.deaf.set()
            return True
        wanted = self.proxy.losing.get(way)
        if wanted is None:
            return False
        marker, happened = wanted
        # A marker may be split over two reads, so the end of the last piece is looked at again.
        seen = self.tails[way] + data
        self.tails[way] = seen[-len(marker) :]
        if marker not in seen:
            return False
        del self.proxy.losing[way]
        if way == "request":
            # The request itself goes through; what the server says to it does not.
            self.deaf = happened
            return False
        happened.set()
        return True

    def cut(self) -> None:
        """End both connections by RST, as a firewall or a crashed host does."""
        if self not in self.proxy.links:
            return
        self.proxy.links.discard(self)
        for writer in (self.writer, self.upstream):
            if writer is not None:
                # One that has been closed already has no socket left.
                with suppress(OSError):
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                writer.transport.abort()


class Proxy:
    """Listens on a port of its own and passes everything on to ``target_port`` until told otherwise."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.links: set[Link] = set()
        self.black = False
        self.reply_delay = 0.0
        self.losing: dict[str, tuple[bytes, threading.Event]] = {}
        self.cuts = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._cutter: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tests-proxy", daemon=True)
        self._thread.start()
        self.accept()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @property
    def broker_url(self) -> str:
        return f"queueops://{HOST}:{self.port}/0"

    def accept(self) -> None:
        """Listen (again)."""
        self._call(self._listen())

    def refuse(self) -> None:
        """Cut every connection and refuse new ones, as a stopped server does."""
        self._call(self._refuse())

    def cut(self) -> None:
        """Cut every connection once; new ones are accepted at once."""
        self._soon(self._cut_links)

    def cut_every(self, seconds: float) -> None:
        """Cut every connection again and again; 0 ends it."""
        self._call(self._start_cutting(seconds))

    def black_hole(self) -> None:
        """Keep connections open, accept new ones, and let no byte through either way."""
        self._soon(lambda: setattr(self, "black", True))

    def heal(self) -> None:
        """End ``black_hole`` and ``delay_replies``; connections that lost bytes are cut."""
        self._soon(self._heal)

    def delay_replies(self, seconds: float) -> None:
        """Hold every piece of every reply back for this long."""
        self._soon(lambda: setattr(self, "reply_delay", seconds))

    def lose_reply_with(self, marker: bytes) -> threading.Event:
        """Cut the connection in place of delivering the reply that contains ``marker``, once."""
        return self._lose("reply", marker)

    def lose_reply_to(self, marker: bytes) -> threading.Event:
        """Pass the request that contains ``marker`` on, then cut the client's side before the reply, once."""
        return self._lose("request", marker)

    def lose_nothing(self) -> None:
        """Take back a loss that has not happened yet."""
        self._soon(self.losing.clear)

    def close(self) -> None:
        """End everything."""
        self._call(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def _lose(self, way: str, marker: bytes) -> threading.Event:
        happened = threading.Event()
        self._soon(lambda: self.losing.__setitem__(way, (marker, happened)))
        return happened

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self, reader, writer)
        self.links.add(link)
        await link.run()

    async def _refuse(self) -> None:
        await self._start_cutting(0)
        if self._server is not None:
            self._server.close()
            self._server = None
        self._cut_links()
        # One turn, so that the cut connections' tasks end before the loop may stop.
        await asyncio.sleep(0)

    async def _start_cutting(self, seconds: float) -> None:
        if self._cutter is not None:
            self._cutter.cancel()
            self._cutter = None
        if seconds:
            self._cutter = asyncio.ensure_future(self._cut_again(seconds))

    async def _cut_again(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            self._cut_links()

    def _cut_links(self) -> None:
        self.cuts += 1
        for link in list(self.links):
            link.cut()

    def _heal(self) -> None:
        self.black = False
        self.reply_delay = 0.0
        for link in [link for link in self.links if link.swallowed]:
            link.cut()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    def _soon(self, work: Callable[[], object]) -> None:
        async def run() -> None:
            work()

        self._call(run())
