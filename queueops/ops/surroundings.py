"""What the doctor finds around the keys: the server's settings, clocks, workers, and what nobody fetches."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from queueops.conf import config
from queueops.engine.store import Store
from queueops.models import OutboxEntry
from queueops.ops import limits, resources
from queueops.ops.collector import collect_all
from queueops.transport.adoption import SUFFIXES, adopt

__all__ = ["Finding", "find"]

#: Least version of Redis; Valkey says 7.2 or later of itself.
OLDEST = (6, 2)
#: Clocks of two machines may differ by so much before ETAs and deadlines are noticeably off.
CLOCK_MS = 2_000
#: What workers do each second is late after this.
LATE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        kind: of what sort, the same words each time.
        text: what it means.
        proof: the numbers or settings that show it.
        mend: sets it right and returns nothing; None for what only a person can do. (Called by `repair`.)
    """

    kind: str
    text: str
    proof: str
    mend: Callable[[], Any] | None = None

    @property
    def mendable(self) -> bool:
        """Whether `repair` can set it right."""
        return self.mend is not None


def find(store: Store) -> Iterator[Finding]:
    """Yield what is wrong around the keys."""
    yield from _server(store)
    yield from _clocks(store)
    yield from _queues(store)
    yield from _late(store)
    yield from _drift(store)
    yield from _outbox()


def _server(store: Store) -> Iterator[Finding]:
    info: dict[str, Any] = store.client.info()
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Finding(
            "maxmemory policy",
            "Under memory pressure the server would delete jobs; workers refuse to start. Set "
            "maxmemory-policy to noeviction.",
            f"maxmemory-policy is {policy}",
        )
    if not int(info.get("aof_enabled", 0)):
        yield Finding(
            "persistence",
            "A restart of the server loses jobs that it has confirmed. Set appendonly to yes.",
            f"appendonly is off; last snapshot: {info.get('rdb_last_bgsave_status', 'unknown')}",
        )
    version = str(info.get("redis_version", "0"))
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST:
        yield Finding(
            "server version",
            f"Scripts need Redis {'.'.join(map(str, OLDEST))} or Valkey.",
            f"it says it is {version}",
        )


def _clocks(store: Store) -> Iterator[Finding]:
    before = time.time() * 1000
    there = store.now_ms()
    here = (before + time.time() * 1000) / 2
    if abs(there - here) > CLOCK_MS:
        yield Finding(
            "clocks",
            "This machine and the broker do not agree on the time: ETAs and deadlines set here are off by "
            "it. Have both follow NTP.",
            f"the broker is {(there - here) / 1000:+.1f} s from here",
        )
    last = float(store.client.hget(store.key("pulse"), "last") or 0)
    if last > there + CLOCK_MS:
        yield Finding(
            "clock jump",
            "The broker's clock has stepped back. Nothing is reaped for one lease length; then it is over.",
            f"the last beat of a worker lies {(last - there) / 1000:.1f} s in the future",
            store.reap,
        )


def _queues(store: Store) -> Iterator[Finding]:
    for queue in sorted({*store.queues(), *config().queues}):
        seen = store.queue_snapshot(queue)
        waiting = seen.ready + seen.scheduled
        if waiting and not seen.slots:
            yield Finding(
                "no worker",
                f"Jobs wait in {queue}, and no worker serves it. Start one with -Q {queue}.",
                f"{seen.ready:,} ready, {seen.scheduled:,} scheduled, 0 slots",
            )
        stock = sum(_stock(store, queue + suffix) for suffix in SUFFIXES)
        if stock:
            yield Finding(
                "messages of stock Celery",
                f"Somebody publishes to {queue} by redis://. Workers adopt such messages when they start.",
                f"at least {stock:,} in its lists",
                partial(adopt, store, queue, org=config().default_org),
            )


def _stock(store: Store, name: str) -> int:
    # Stock pushes on the left, the depth mirror grows on the right: the first elements tell.
    return sum(1 for element in store.client.lrange(store.prefix + name, 0, 99) if element)


def _late(store: Store) -> Iterator[Finding]:
    now_ms = store.now_ms()
    oldest = store.dead_read(1)
    if oldest and now_ms - oldest[0].died_ms > LATE_MS:
        yield Finding(
            "dead letters wait",
            "Dead jobs are not written into the database: no worker of this project runs, or the database "
            "is away.",
            f"{store.dead_size():,} wait, the oldest for {(now_ms - oldest[0].died_ms) / 1000:,.0f} s",
            lambda: collect_all(store),
        )
    expired = store.expired_holders(now_ms - store.lease_ms)
    if expired:
        yield Finding(
            "leases not ended",
            "Processes are gone and nobody ends their leases, as when no worker is left. `recover` does it.",
            f"leases of {expired:,} processes lapsed more than {store.lease_ms / 1000:g} s ago",
        )


def _drift(store: Store) -> Iterator[Finding]:
    for difference in resources.drift(store):
        yield Finding(
            "limits differ",
            f"The broker has other limits of the resource {difference.name} than rows and settings say.",
            f"wanted {difference.wanted}, the broker has {difference.held}",
            lambda: resources.reconcile(store),
        )
    for one in limits.drift(store):
        yield Finding(
            "limits differ",
            f"The broker has other limits of {one.org or 'all orgs'} in {one.queue} than the rows say.",
            f"{one.org}: the rows say {one.wanted}, the broker has {one.held}",
            lambda: limits.reconcile(store),
        )


def _outbox() -> Iterator[Finding]:
    if refused := OutboxEntry.objects.refused().count():
        yield Finding(
            "outbox",
            "The broker has refused jobs that were enqueued in a transaction. Retry or discard them.",
            f"{refused:,} rows of the outbox are refused",
        )
