"""Time per job inside the broker, claim and settle together: few and many orgs, open and closed ones."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, cycle, islice

import redis

from bench.processes import Failed
from bench.report import Report
from bench.rounds import Rounds
from bench.run import QUEUE
from bench.servers import broker, script_microseconds
from queueops.engine.rules.envelope import NewJob
from queueops.engine.rules.gates import Limits, ResourceLimits
from queueops.engine.store import Store
from queueops.engine.types import Leased, Settlement

HOLDER = "bench"
ROUNDS = 7
# One claim of a worker with 16 free slots, and the settle of the 16 before.
BATCH = 16
RUN_MS = 5
# Between two passes the backlog is filled up again, so that it never falls below nine tenths of its size.
PASS_SHARE = 10
FILL = 10_000
# Nothing here renews: a lease must outlast the bench.
LEASE_MS = 3_600_000
# What a message of a plain job weighs, headers and all.
MESSAGE = "x" * 1000
# A throttled org may start a job every 40 s to 2 minutes: orgs reopen and close all the time, out of step.
THROTTLED_PER_MINUTE = (0.5, 1.5)
RATIOS = (
    ("many_orgs_vs_few", "many_orgs", "few_orgs", 1.8),
    ("throttled_orgs_vs_open", "throttled_orgs", "open_orgs", 1.2),
    ("closed_resource_vs_open", "closed_resource", "open_resource", 1.2),
)


@dataclass(frozen=True)
class Sizes:
    """How many orgs and jobs each backlog has, and how many jobs a round measures."""

    few_orgs: int = 10
    few_jobs: int = 1_000
    many_orgs: int = 30_000
    many_jobs: int = 1_000_000
    throttled_orgs: int = 10_000
    throttled_jobs_each: int = 3
    resource_orgs: int = 5_000
    resource_jobs_each: int = 2
    measured: int = 8_000
    measured_single: int = 2_000


QUICK = Sizes(
    many_orgs=200,
    many_jobs=2_000,
    throttled_orgs=50,
    throttled_jobs_each=3,
    resource_orgs=50,
    measured=300,
    measured_single=100,
)


class Backlog:
    """A queue kept at its size while jobs are claimed from it and settled."""

    def __init__(
        self, client: redis.Redis, orgs: Sequence[str], jobs: int, *, resource: str = "", batch: int = BATCH
    ) -> None:
        self._client = client
        self._store = Store(client, lease_ms=LEASE_MS)
        self._orgs = cycle(orgs)
        self._resource, self._batch = resource, batch
        self._claims = count(1)
        self._pass = max(1, jobs // PASS_SHARE)
        self._held: list[Leased] = []
        self.fill(jobs)

    def fill(self, jobs: int) -> None:
        """Enqueue so many jobs, each of the next org."""
        for done in range(0, jobs, FILL):
            orgs = islice(self._orgs, min(FILL, jobs - done))
            self._store.enqueue(QUEUE, [new_job(org, self._resource) for org in orgs])

    def microseconds_per_job(self, jobs: int) -> float:
        """Claim and settle so many jobs; return what the broker spent on each, filling up not counted."""
        spent, done = 0, 0
        while done < jobs:
            before, this_pass = script_microseconds(self._client), 0
            while this_pass < min(self._pass, jobs - done):
                claimed = self.step()
                if not claimed:
                    raise Failed("nothing to claim though jobs wait")
                this_pass += claimed
            spent += script_microseconds(self._client) - before
            self.fill(this_pass)
            done += this_pass
        return spent / done

    def step(self) -> int:
        """Settle what is held and claim the next batch, as a worker does; return how many were claimed."""
        if self._held:
            self._store.settle([Settlement(job.token, "succeeded", RUN_MS, None) for job in self._held])
            self._held = []
        more = True
        while more and not self._held:
            claim = self._store.claim([QUEUE], self._batch, 0, HOLDER, next(self._claims))
            self._held, more = list(claim.jobs), claim.more
        return len(self._held)


def measure(rounds: int | None = None, quick: bool = False) -> Report:
    """Build the backlogs, each on a server of its own, then measure them in turn."""
    repeats, sizes = rounds or (1 if quick else ROUNDS), QUICK if quick else Sizes()
    measured = Rounds()
    few, open_ = names("org", sizes.few_orgs), names("open", sizes.few_orgs)
    with ExitStack() as stack:
        brokers = [stack.enter_context(broker()) for _ in range(6)]
        backlogs = {
            "few_orgs": Backlog(brokers[0], few, sizes.few_jobs),
            "many_orgs": Backlog(brokers[1], names("org", sizes.many_orgs), sizes.many_jobs),
            "open_orgs": Backlog(brokers[2], open_, sizes.few_jobs),
            "throttled_orgs": beside_throttled(brokers[3], open_, sizes),
            "open_resource": one_at_a_time(brokers[4], sizes, cap=None),
            "closed_resource": one_at_a_time(brokers[5], sizes, cap=1),
        }
        jobs = {name: sizes.measured_single if "resource" in name else sizes.measured for name in backlogs}
        for number in range(repeats):
            for figure, over, under, _ in RATIOS:
                for name in (over, under) if number % 2 == 0 else (under, over):
                    side = backlogs[name]
                    measured.take(name, lambda side=side, name=name: side.microseconds_per_job(jobs[name]))
                measured.ratio(figure, over, under)
    figures = [measured.figure(figure, "x", at_most=bar) for figure, _, _, bar in RATIOS]
    return Report("scale", repeats, [*figures, *(measured.figure(name, "µs/job") for name in backlogs)])


def beside_throttled(client: redis.Redis, open_orgs: Sequence[str], sizes: Sizes) -> Backlog:
    """A backlog of the open orgs beside throttled ones that have used up their rates and still have jobs."""
    seeded = random.Random(1)
    throttled = names("throttled", sizes.throttled_orgs)
    store = Store(client, lease_ms=LEASE_MS)
    limits = {org: Limits(rpm=seeded.uniform(*THROTTLED_PER_MINUTE), burst=1) for org in throttled}
    store.set_limits(QUEUE, limits)
    held = Backlog(client, throttled, sizes.throttled_orgs * sizes.throttled_jobs_each)
    while held.step():
        pass
    return Backlog(client, open_orgs, sizes.few_jobs)


def one_at_a_time(client: redis.Redis, sizes: Sizes, cap: int | None) -> Backlog:
    """Many orgs that wait for one resource, whose slots are freed and taken one at a time."""
    Store(client).set_resources({"gateway": ResourceLimits(max_in_flight=cap)})
    orgs = names("org", sizes.resource_orgs)
    jobs = sizes.resource_orgs * sizes.resource_jobs_each
    return Backlog(client, orgs, jobs, resource="gateway", batch=1)


def names(kind: str, how_many: int) -> list[str]:
    """So many org names."""
    return [f"{kind}{number}" for number in range(how_many)]


def new_job(org: str, resource: str = "") -> NewJob:
    """A ready job of the org."""
    tag = str(uuid.uuid4())
    return NewJob(tag=tag, task_id=tag, task="bench.noop", org=org, message=MESSAGE, resource=resource)
