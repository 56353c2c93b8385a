"""Workers without processes: slots that claim from a real engine and settle when virtual time has passed."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterable

from queueops.engine.types import Leased
from tests.engine.world import World

#: How often a worker renews, as in production.
RENEW_MS = 10_000


class Simulation:
    """``workers`` processes of ``slots`` slots each run the jobs of a world; time jumps from event to event.

    ``run_ms`` says how long a job runs. ``arrive`` is called before each claim and may enqueue.
    """

    def __init__(
        self,
        world: World,
        run_ms: Callable[[Leased], float],
        *,
        slots: int = 8,
        workers: int = 1,
        arrive: Callable[[], None] = lambda: None,
    ) -> None:
        self.world = world
        self.run_ms = run_ms
        self.arrive = arrive
        self.free = {f"w{number}": slots for number in range(workers)}
        self.claims: list[Leased] = []
        self.worked_ms: Counter[str] = Counter()
        self._running: list[tuple[float, int, int, str, Leased]] = []
        self._order = itertools.count()
        self._renewed_ms = world.now

    def run(self, *, until_ms: int | None = None, claims: int | None = None) -> None:
        """Go on until the clock shows ``until_ms`` or so many jobs were claimed in all."""
        while (claims is None or len(self.claims) < claims) and (
            until_ms is None or self.world.now < until_ms
        ):
            self.arrive()
            waits = [self._fill(holder) for holder in self.free if self.free[holder]]
            self._renew()
            events = [run[0] for run in self._running[:1]]
            events += [self.world.now + wait for wait in waits]
            events.append(self._renewed_ms + RENEW_MS)
            if until_ms is not None:
                events.append(until_ms)
            self.world.clock.now_ms = max(self.world.now + 1, int(min(events)))
            self._end(run for run in self._due())

    def _fill(self, holder: str) -> int:
        while True:
            claim = self.world.claim(self.free[holder], holder)
            for job in claim.jobs:
                length = self.run_ms(job)
                end = self.world.now + length
                heapq.heappush(self._running, (end, next(self._order), self.world.now, holder, job))
            self.claims += claim.jobs
            self.free[holder] -= len(claim.jobs)
            if not (claim.more and self.free[holder]):
                return claim.wait_ms

    def _due(self) -> Iterable[tuple[str, Leased, float]]:
        while self._running and self._running[0][0] <= self.world.now:
            end, _, start, holder, job = heapq.heappop(self._running)
            yield holder, job, end - start

    def _end(self, ended: Iterable[tuple[str, Leased, float]]) -> None:
        for holder, job, length in ended:
            assert self.world.settle(job, run_ms=length) == ["settled"]
            self.free[holder] += 1
            self.worked_ms[job.org] += length  # type: ignore[assignment]

    def _renew(self) -> None:
        if self.world.now - self._renewed_ms < RENEW_MS:
            return
        self._renewed_ms = self.world.now
        for holder in self.free:
            ran = {
                job.token: self.world.now - start
                for _, _, start, name, job in self._running
                if name == holder
            }
            assert self.world.renew(holder, ran) == []

    def share(self, org: str, since: int = 0) -> float:
        """The org's part of the claims since the one with number ``since``."""
        claims = self.claims[since:]
        return sum(job.org == org for job in claims) / len(claims)

    def time_share(self, org: str) -> float:
        """The org's part of the worker time."""
        return self.worked_ms[org] / sum(self.worked_ms.values())
