"""What each feature costs: time inside the broker per job, enqueue, claim and settle together, off and on."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, cycle, islice

import redis

from bench.report import Report
from bench.rounds import Rounds
from bench.run import QUEUE
from bench.scale import HOLDER, LEASE_MS, MESSAGE
from bench.servers import broker, script_microseconds
from queueops.engine.rules.envelope import NewJob
from queueops.engine.rules.gates import Breaker, Limits, ResourceLimits
from queueops.engine.store import Store
from queueops.engine.types import Settlement

ROUNDS = 7
ORGS = 10
# A worker's turn: so many jobs are enqueued, claimed and settled at once.
BATCH = 16
JOBS, QUICK_JOBS = 4_000, 200
NO_LIMIT = 6_000_000.0
RUN_MS = 5


def nothing(store: Store) -> None:
    """Set nothing up."""


@dataclass(frozen=True)
class Feature:
    """A way to use the broker: what is set up once, and the fields of each job (by its number)."""

    fields: Callable[[int], dict[str, object]] = lambda number: {}
    set_up: Callable[[Store], None] = nothing


def limit_orgs(store: Store) -> None:
    """A rate, a cap and a weight for each org, none of which is ever reached."""
    limits = Limits(weight=2, rpm=NO_LIMIT, burst=1_000_000, max_in_flight=100_000)
    store.set_limits(QUEUE, dict.fromkeys(orgs(), limits))


def limit_resource(store: Store) -> None:
    """A rate and a cap, none of which is ever reached."""
    limits = ResourceLimits(per_minute=NO_LIMIT, burst=1_000_000, max_in_flight=100_000)
    store.set_resources({"gateway": limits})


def break_resource(store: Store) -> None:
    """A breaker that never opens."""
    store.set_resources({"gateway": ResourceLimits(breaker=Breaker())})


def limit_backlog(store: Store) -> None:
    """A limit on the ready jobs of the queue and of each org that is never reached."""
    store.set_queue(QUEUE, max_ready=1_000_000, max_ready_per_org=1_000_000)


FEATURES = {
    "org_limits": Feature(set_up=limit_orgs),
    "deadline": Feature(lambda number: {"deadline_ms": round(time.time() * 1000) + 600_000}),
    "unlimited_resource": Feature(lambda number: {"resource": "gateway"}),
    "resource_limits": Feature(lambda number: {"resource": "gateway"}, limit_resource),
    "breaker": Feature(lambda number: {"resource": "gateway"}, break_resource),
    "unique_key": Feature(lambda number: {"unique": f"key{number}"}),
    "dependency": Feature(lambda number: {"after": (f"job{number - 1}",)} if number % 2 else {}),
    "backlog_limit": Feature(set_up=limit_backlog),
}


def measure(rounds: int | None = None, quick: bool = False) -> Report:
    """Each round measures every feature, and before each the plain job that it is compared with."""
    repeats, jobs = rounds or (1 if quick else ROUNDS), QUICK_JOBS if quick else JOBS
    measured = Rounds()
    with ExitStack() as stack:
        plain = Worker(stack.enter_context(broker()), Feature())
        workers = {name: Worker(stack.enter_context(broker()), feature) for name, feature in FEATURES.items()}
        for _ in range(repeats):
            for name, worker in workers.items():
                measured.take("plain", lambda: plain.microseconds_per_job(jobs))
                measured.take(f"{name}_on", lambda worker=worker: worker.microseconds_per_job(jobs))
                measured.ratio(name, f"{name}_on", "plain")
    figures = [measured.figure(name, "x") for name in FEATURES]
    absolute = [measured.figure(name, "µs/job") for name in ("plain", *(f"{name}_on" for name in FEATURES))]
    return Report("features", repeats, [*figures, *absolute])


class Worker:
    """Enqueues, claims and settles jobs of one kind on a server of its own."""

    def __init__(self, client: redis.Redis, feature: Feature) -> None:
        self._client, self._feature = client, feature
        self._store = Store(client, lease_ms=LEASE_MS)
        self._orgs, self._numbers, self._claims = cycle(orgs()), count(), count(1)
        feature.set_up(self._store)

    def microseconds_per_job(self, jobs: int) -> float:
        """Let so many jobs pass; return what the broker spent inside scripts on each."""
        before, done = script_microseconds(self._client), 0
        while done < jobs:
            self._store.enqueue(QUEUE, [self._job(number) for number in islice(self._numbers, BATCH)])
            left = BATCH
            while left:
                claimed = self._store.claim([QUEUE], BATCH, 0, HOLDER, next(self._claims)).jobs
                self._store.settle([Settlement(job.token, "succeeded", RUN_MS, None) for job in claimed])
                left -= len(claimed)
            done += BATCH
        return (script_microseconds(self._client) - before) / done

    def _job(self, number: int) -> NewJob:
        # Dependants name their parents, so ids are made from numbers; the tag differs from run to run.
        fields: dict[str, object] = {
            "tag": str(uuid.uuid4()),
            "task_id": f"job{number}",
            "task": "bench.noop",
        }
        fields |= {"org": next(self._orgs), "message": MESSAGE, **self._feature.fields(number)}
        return NewJob(**fields)  # type: ignore[arg-type]


def orgs() -> list[str]:
    """The names of all orgs."""
    return [f"org{number}" for number in range(ORGS)]
