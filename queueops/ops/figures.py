"""All figures of the platform at one moment, for Prometheus: read from the broker and the database, never
kept here.

A figure that another surface shows too comes from the same function (`ops.waiting`, `ops.letter_counts`,
the store's snapshot). What is counted since ever is read in one step a queue, so that no counter is ever
seen to fall; it outlives workers and web processes, and each of them reads the same.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db import DatabaseError

from queueops.conf import config
from queueops.engine.places import Place
from queueops.engine.resource_verbs import BreakerState
from queueops.engine.rules.priority import effective
from queueops.engine.store import Store
from queueops.engine.tallies import Attempt, Tally
from queueops.engine.types import QueueSnapshot, WorkerInfo
from queueops.ops import broker, fairness_level, permissions, waiting
from queueops.ops.fairness_level import Fairness
from queueops.ops.letter_counts import open_letters
from queueops.ops.permissions import Actor
from queueops.ops.schedule_counts import Schedules, schedules
from queueops.ops.waiting import Lots, Waiting

__all__ = ["OTHER", "TOP_ORGS", "BrokerFigures", "Figures", "OrgFigures", "QueueFigures", "figures"]

#: Orgs of a queue that have figures of their own: those with most ready jobs. The rest is summed up.
TOP_ORGS = 20
#: Stands for the rest; an org that is called so is among them.
OTHER = "other"


@dataclass(frozen=True, slots=True)
class OrgFigures:
    """One org in one queue, or `OTHER` for all without figures of their own.

    `share` and `wait_seconds` (a mean) are of the latest 2,000 attempts; None when none of them was its.
    """

    org: str
    ready: int
    share: float | None
    wait_seconds: float | None


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """One queue.

    Attributes:
        throttled: ready jobs that a gate keeps, by gate.
        dead: letters that nobody has decided about; None while the database is away.
        workers: living ones that serve it.
        idle_slots: of them, while jobs could be claimed.
        waits: by priority, how many ms the latest attempts had waited, in order.
    """

    queue: str
    snapshot: QueueSnapshot
    waiting: Waiting
    throttled: Mapping[str, int]
    dead: int | None
    concurrency: int | None
    workers: Sequence[WorkerInfo]
    idle_slots: int
    tally: Tally
    fairness: Fairness
    orgs: Sequence[OrgFigures]
    waits: Mapping[int, Sequence[int]]


@dataclass(frozen=True, slots=True)
class BrokerFigures:
    """The server: its memory in bytes (limit 0 is none), and the dead jobs on their way to the database."""

    used_memory: int
    memory_limit: int
    stale_settles: int
    unsaved_letters: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything at one moment.

    Attributes:
        now_ms: the broker's time.
        workers: the living ones.
        resources: the state of the breaker and the jobs in flight, by resource; of 2,000 at most.
        resource_count: how many resources there are.
        schedules: None while the database is away, or without django-celery-beat.
        database: whether it has answered.
    """

    now_ms: int
    queues: Sequence[QueueFigures]
    workers: Sequence[WorkerInfo]
    resources: Mapping[str, tuple[BreakerState, int]] = field(default_factory=dict)
    resource_count: int = 0
    broker: BrokerFigures | None = None
    schedules: Schedules | None = None
    database: bool = True


def figures(actor: Actor) -> Figures:
    """Read everything. Costs some milliseconds a queue and 10 ms for each 1,000 orgs, whatever the backlog.

    Raises:
        PermissionDenied: the actor may not see operations.
        BrokerUnavailable: the broker does not answer. A database that does not only leaves out its figures.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    with broker.store() as store:
        now_ms = store.now_ms()
        workers = [one for one in store.workers() if not one.lapsed]
        letters = _letters(store)
        names = sorted({*config().queues, *store.queues()})
        lots = Lots(store)
        queues = [
            _queue(store, name, now_ms, workers, None if letters is None else letters[name], lots)
            for name in names
        ]
        resources, resource_count = store.breakers()
        return Figures(
            now_ms=now_ms,
            queues=queues,
            workers=workers,
            resources=resources,
            resource_count=resource_count,
            broker=_broker(store),
            schedules=schedules(store) if letters is not None else None,
            database=letters is not None,
        )


def _letters(store: Store) -> Counter[str] | None:
    try:
        return open_letters(store)
    except DatabaseError:
        return None


def _broker(store: Store) -> BrokerFigures:
    memory = store.client.info("memory")
    return BrokerFigures(
        used_memory=int(memory["used_memory"]),
        memory_limit=int(memory.get("maxmemory", 0)),
        stale_settles=store.stale_settles(),
        unsaved_letters=store.dead_size(),
    )


def _queue(
    store: Store, queue: str, now_ms: int, workers: Sequence[WorkerInfo], dead: int | None, lots: Lots
) -> QueueFigures:
    settings = config().queue(queue)
    tally, snapshot, standing = store.tally(queue), store.queue_snapshot(queue), store.standing(queue)
    ready, _ = store.places(queue)
    attempts = store.attempts(queue, fairness_level.ATTEMPTS)
    depths = Counter[str]()
    for place in ready:
        depths[place.org or OTHER] += place.jobs
    open_jobs = sum(place.jobs for place in ready if not place.gate)
    claimable = open_jobs if snapshot.gate is None and tally.has_open_ring else 0
    by_count = settings.fair_by == "count"
    return QueueFigures(
        queue=queue,
        snapshot=snapshot,
        waiting=waiting.look(store, snapshot, settings.patience_ms, lots),
        throttled=_by_gate(ready),
        dead=dead,
        concurrency=standing.concurrency,
        workers=[one for one in workers if queue in one.queues],
        idle_slots=fairness_level.idle_slots(workers, queue, claimable),
        tally=tally,
        fairness=fairness_level.fairness(
            attempts,
            now_ms,
            _weights(store, queue),
            {place.org for place in ready if place.org and not place.gate},
            by_count=by_count,
        ),
        orgs=_orgs(depths, fairness_level.uses(attempts, by_count=by_count)),
        waits=_waits(attempts, settings.patience_ms),
    )


def _by_gate(places: Sequence[Place]) -> Mapping[str, int]:
    found: Counter[str] = Counter()
    for place in places:
        if place.gate:
            found[place.gate] += place.jobs
    return found


def _weights(store: Store, queue: str) -> Mapping[str, float]:
    """Weights of the orgs that have limits of their own; that of the others is under ""."""
    limits = store.read_limits(queue)
    return {"": 1.0, **{org: one.weight for org, one in limits.items()}}


def _orgs(depths: Mapping[str, int], uses: Mapping[str, fairness_level.OrgUse]) -> Sequence[OrgFigures]:
    first = heapq.nlargest(TOP_ORGS, ((number, org) for org, number in depths.items() if org != OTHER))
    top = [org for _, org in first]
    if len(top) < TOP_ORGS:
        idle = [(one.share, org) for org, one in uses.items() if org not in depths and org != OTHER]
        top += [org for _, org in heapq.nlargest(TOP_ORGS - len(top), idle)]
    chosen = set(top)
    rest = [one for org, one in uses.items() if org not in chosen]
    attempts = sum(one.attempts for one in rest)
    found = [
        OrgFigures(
            org,
            depths.get(org, 0),
            uses[org].share if org in uses else None,
            uses[org].wait_seconds if org in uses else None,
        )
        for org in sorted(top)
    ]
    return [
        *found,
        OrgFigures(
            OTHER,
            sum(depths.values()) - sum(one.ready for one in found),
            sum(one.share for one in rest) if rest else None,
            sum(one.wait_seconds * one.attempts for one in rest) / attempts if attempts else None,
        ),
    ]


def _waits(attempts: Sequence[Attempt], patience: Mapping[int, int] | None) -> Mapping[int, Sequence[int]]:
    found: dict[int, list[int]] = {}
    priorities: dict[int, int] = {}
    for one in attempts:
        priority = priorities.get(one.patience_ms)
        if priority is None:
            priority = priorities[one.patience_ms] = effective(one.patience_ms, patience)
        found.setdefault(priority, []).append(one.wait_ms)
    return {priority: sorted(waits) for priority, waits in sorted(found.items())}
