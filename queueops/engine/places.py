"""Where the jobs of a queue wait, counted place by place, and samples of them: what a look at a queue costs.

A look walks through the queue's orgs, :data:`STEP` a script, so that none holds Redis for more than a few
milliseconds; the steps see the queue at different moments. Of the jobs themselves only a sample is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from queueops.engine.verbs import Verbs

__all__ = ["Place", "PlaceVerbs", "Sample", "Sampled", "Standing"]

#: Entries of a ring or of the timers that one script looks at.
STEP = 500
#: Entries that a look walks through at most, of each ring and of the timers.
WALKED = 20_000
#: Rings, and paused tasks, that a look walks through at most.
RINGS = 200

Kind = Literal["lane", "scheduled", "aside", "blocked"]


@dataclass(frozen=True, slots=True)
class Place:
    """Jobs that wait together.

    ``kind``: ``lane`` (ready jobs of ``org`` for ``resource``), ``aside`` (ready jobs of a paused task, named
    by ``task``), ``scheduled`` (of ``org``) or ``blocked`` (of the queue). ``gate``: what has closed a lane;
    empty for an open one, ``resource`` where the resource holds its whole ring. ``first_ms``: rank or due
    time of the first job.
    """

    kind: Kind
    jobs: int
    first_ms: int = 0
    org: str = ""
    resource: str = ""
    task: str = ""
    gate: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """``concurrency``: most jobs at once, as set. ``ramp_until_ms``: until when the queue opens gradually, 0:
    it does not. ``workers``: processes that serve it.
    """

    concurrency: int | None
    ramp_until_ms: int
    workers: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the head line of a waiting job says. ``at_ms``: its rank or its due time."""

    at_ms: float
    patience_ms: int
    deadline_ms: int
    first_ms: int
    attempt: int
    org: str
    task_id: str

    @property
    def ready_since_ms(self) -> float:
        """Since when it is ready; a deadline may have pulled its rank forward."""
        return max(self.at_ms - self.patience_ms, self.first_ms)


@dataclass(frozen=True, slots=True)
class Sample:
    """Some jobs of ``total``, at equal distances; ``exact`` when they are all of them."""

    total: int
    jobs: tuple[Sampled, ...]

    @property
    def exact(self) -> bool:
        """Whether no job was left out."""
        return len(self.jobs) >= self.total

    def scaled(self, count: int) -> int:
        """What ``count`` jobs of the sample stand for."""
        return count if self.exact or not self.jobs else round(count * self.total / len(self.jobs))


class PlaceVerbs(Verbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def places(self, queue: str) -> tuple[list[Place], bool]:
        """Return all places of the queue with jobs that wait, and whether the walk came to its end."""
        found, out, whole = self._walk(queue, "timers")
        rings = [name.decode() for name in self.client.zrange(self.key("rings", queue=queue), 0, RINGS - 1)]
        gates = dict.fromkeys(rings, "") | dict.fromkeys(out[:RINGS], "resource")
        for resource, gate in gates.items():
            places, _, all_of_it = self._walk(queue, "ring", resource, gate)
            found, whole = found + places, whole and all_of_it
        return found + self._by_task(queue), whole and len(rings) < RINGS and len(out) <= RINGS

    def _walk(
        self, queue: str, of: str, resource: str = "", gate: str = ""
    ) -> tuple[list[Place], list[str], bool]:
        """Return places, resources whose ring is out, and whether these are all."""
        found: dict[tuple[str, str, str], Place] = {}  # an org that moves meanwhile may be met twice
        out: list[str] = []
        for start in range(0, WALKED, STEP):
            read, text = self._run("places", queue, of, resource, start, STEP)
            for line in text.decode().splitlines():
                kind, closed, name, org, jobs, first = line.split("\t")
                if kind == "out":
                    out.append(name)
                else:
                    found[kind, name, org] = Place(
                        kind,
                        int(jobs),
                        int(float(first)),
                        org,
                        name,
                        gate=closed or gate,
                    )
            if read < STEP:
                return list(found.values()), out, True
        return list(found.values()), out, False

    def _by_task(self, queue: str) -> list[Place]:
        tasks = (self.client.hget(self.key("gates", queue=queue), "tasks") or b"").decode().split("\t")
        names = [task for task in tasks if task][:RINGS]
        pipeline = self.client.pipeline(transaction=False)
        for task in names:
            pipeline.zcard(self.key("aside", queue=queue, task=task))
        pipeline.zcard(self.key("blocked", queue=queue))
        *asides, blocked = pipeline.execute()
        found = [
            Place("aside", jobs, task=task, gate="pause")
            for task, jobs in zip(names, asides, strict=True)
            if jobs
        ]
        return [*found, Place("blocked", blocked)] if blocked else found

    def standing(self, queue: str) -> Standing:
        """Return what the queue may run and who serves it."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hmget(self.key("gates", queue=queue), "concurrency", "ramp")
        pipeline.hlen(self.key("slots", queue=queue))
        (concurrency, ramp), workers = pipeline.execute()
        ends_ms = int(ramp.split()[1]) if ramp else 0
        return Standing(int(concurrency) if concurrency else None, ends_ms, workers)

    def sample(self, queue: str, places: Sequence[Place], jobs: int) -> Sample:
        """Return about ``jobs`` of the jobs at these places, at equal distances; all of them if they are no
        more.
        """
        args = list(_sets(places, jobs))
        total = sum(place.jobs for place in places)
        return Sample(total, tuple(job for _, job in self._sampled(queue, args)))

    def set_aside(self, queue: str, org: str) -> list[str]:
        """Return the task ids of the org's jobs that are in no place of its own: blocked ones, and ready ones
        of paused tasks.
        """
        found: list[str] = []
        for place in self._by_task(queue):
            for start in range(0, place.jobs, STEP):
                page = self._sampled(queue, [(place, float(start), 1.0, STEP)])
                found += [job.task_id for _, job in page if job.org == org]
        return found

    def heads(self, queue: str, places: Sequence[Place]) -> dict[Place, Sampled]:
        """Return the first job of each of these places (some hundreds at most)."""
        found = self._sampled(queue, [(place, 0.0, 1.0, 1) for place in places])
        return {places[number - 1]: job for number, job in found}

    def _sampled(
        self, queue: str, sets: Sequence[tuple[Place, float, float, int]]
    ) -> Iterator[tuple[int, Sampled]]:
        args: list[str | int] = []
        for place, first, distance, count in sets:
            name = place.task if place.kind == "aside" else place.resource
            args += (place.kind, name, place.org, f"{first:.6f}", f"{distance:.6f}", count)
        text = self._run("sample", queue, *args) if args else b""
        for line in text.decode().splitlines():
            number, at, patience, deadline, first_ms, attempt, org, task_id = line.split("\t")
            yield (
                int(number),
                Sampled(float(at), int(patience), int(deadline), int(first_ms), int(attempt), org, task_id),
            )


def _sets(places: Sequence[Place], jobs: int) -> Iterator[tuple[Place, float, float, int]]:
    """Which jobs of which place: places in a row, and a job at every so many."""
    total = sum(place.jobs for place in places)
    if total <= jobs:
        yield from ((place, 0.0, 1.0, place.jobs) for place in places)
        return
    starts, start = [], 0
    for place in places:
        starts.append(start)
        start += place.jobs
    distance = total / jobs
    marks = iter([(number + 0.5) * distance for number in range(jobs)])
    at = 0

    def place_of(mark: float) -> int:
        nonlocal at
        while at + 1 < len(starts) and starts[at + 1] <= mark:
            at += 1
        return at

    for index, group in groupby(marks, place_of):
        chosen = list(group)
        # Where one is as near as the next the script would read them together, from the first on.
        yield places[index], chosen[0] - starts[index], max(distance, 1.000001), len(chosen)
