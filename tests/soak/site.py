"""The servers of a soak: a primary and its replica, a database, the ledger, and proxies in front of the
primary.
"""

from __future__ import annotations

from collections.abc import Callable

import redis

from tests.support.polling import eventually
from tests.support.ports import HOST
from tests.support.postgres import Postgres
from tests.support.project import migrate
from tests.support.proxy import Proxy
from tests.support.valkey import Valkey


class Site:
    """Broker and replica sync each write to disk before they answer (``appendfsync always``): a kill -9 may
    lose nothing that was confirmed. A promotion may lose what the replica has not received; ``epoch`` tells
    promotions apart, it is odd during one.
    """

    def __init__(self, *, database: bool) -> None:
        self.ledger = Valkey()
        self.primary, self.replica = Valkey(durable=True), Valkey(durable=True)
        self.proxies: list[Proxy] = []
        self.epoch = 0
        self.postgres = Postgres() if database else None
        self.database_url = ""
        if self.postgres is not None:
            self.database_url = self.postgres.create_database()
            migrate(self.database_url)
        self.follow()
        eventually(self.is_in_sync, within=30, what="the replica has all that the primary has")

    def proxy(self) -> Proxy:
        """Return a new proxy that always leads to the primary."""
        proxy = Proxy(self.primary.port)
        self.proxies.append(proxy)
        return proxy

    def client(self) -> redis.Redis:
        """A client of the primary, past the proxies."""
        return self.primary.client(decode_responses=False, socket_timeout=3)

    def follow(self) -> None:
        """Make the replica follow the primary."""
        client = self.replica.client()
        client.config_set("repl-diskless-sync-delay", 0)
        client.replicaof(HOST, self.primary.port)

    def is_in_sync(self) -> bool:
        """Whether the replica follows the primary and has received everything."""
        try:
            seen, sent = self.replica.client().info("replication"), self.primary.client().info("replication")
        except redis.RedisError:
            return False
        return bool(
            seen.get("master_link_status") == "up"
            and seen.get("master_port") == self.primary.port
            and seen["slave_repl_offset"] >= sent["master_repl_offset"] - 10_000
        )

    def restart(self, stop: Callable[[Valkey], None], wait: Callable[[], object]) -> None:
        """Stop the primary, ``wait``, start it again."""
        stop(self.primary)
        try:
            wait()
        finally:
            self.primary.start()
            self.primary.client().config_set("repl-diskless-sync-delay", 0)

    def promote(self, *, crash: bool, wait: Callable[[], object]) -> None:
        """Make the replica the primary; the old one crashed or was demoted, and follows it after ``wait``."""
        self.epoch += 1
        old, new = self.primary, self.replica
        if crash:
            old.kill()
        new.client().execute_command("REPLICAOF", "NO", "ONE")
        new.client().config_set("repl-diskless-sync-delay", 0)
        self.primary, self.replica = new, old
        for proxy in self.proxies:
            proxy.target_port = new.port
            proxy.cut()
        self.epoch += 1
        if crash:
            try:
                wait()
            finally:
                old.start()
        self.follow()

    def close(self) -> None:
        """End everything."""
        for proxy in self.proxies:
            proxy.close()
        for server in (self.primary, self.replica, self.ledger, self.postgres):
            if server is not None:
                server.close()
