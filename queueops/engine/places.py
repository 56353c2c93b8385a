"""Where the jobs of a queue wait, org by org.

A walk goes through the queue's orgs, :data:`STEP` a script, so that none holds Redis for more than a few
milliseconds; the steps see the queue at different moments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from operator import add
from typing import Literal

from queueops.engine.verbs import Verbs

__all__ = ["RINGS", "STEP", "WALKED", "Asked", "Place", "PlaceVerbs"]

#: Entries of a ring or of the timers that one script looks at.
STEP = 500
#: Entries that a walk goes through at most, of each ring and of the timers.
WALKED = 20_000
#: Rings, and paused tasks, that a walk goes through at most.
RINGS = 200

#: What a walk through the orgs asks of each lane.
Asked = Literal["jobs", "first", "names"]


@dataclass(frozen=True, slots=True)
class Place:
    """Ready jobs of an org in one lane, or (``org`` is empty) of a paused task. ``gate``: what keeps them;
    empty for an open lane, ``resource`` where the resource keeps its whole ring.
    """

    jobs: int
    org: str
    gate: str


class PlaceVerbs(Verbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def orgs(self, queue: str, asked: Asked = "names") -> tuple[dict[str, float], bool]:
        """Return the orgs with jobs that wait, and whether these are all.

        ``asked``: what the number of each is: its ready jobs, the lowest rank of its lanes (infinite without
        a lane), or 0.
        """
        found: dict[str, float] = {}
        none, merge = (inf, min) if asked == "first" else (0.0, add)
        walk = _Walk(self, queue, asked)
        for org, number, _ in walk:
            before = found.get(org, none)
            found[org] = before if number is None else merge(before, number)
        return found, walk.whole

    def places(self, queue: str) -> tuple[list[Place], bool]:
        """Return the lanes of the queue and its paused tasks with jobs, and whether these are all."""
        return self._places(queue, _Walk(self, queue, "jobs"))

    def kept_places(self, queue: str) -> tuple[list[Place], bool]:
        """Return those of :meth:`places` that a gate keeps; costs nothing for open lanes."""
        return self._places(queue, _Walk(self, queue, "jobs", only_kept=True))

    def _places(self, queue: str, walk: _Walk) -> tuple[list[Place], bool]:
        found = [Place(int(number), org, gate) for org, number, gate in walk if number]
        tasks = self.paused_with_jobs(queue)
        pipeline = self.client.pipeline(transaction=False)
        for task in tasks:
            pipeline.zcard(self.key("aside", queue=queue, task=task))
        asides = pipeline.execute() if tasks else []
        return [*found, *(Place(jobs, "", "pause") for jobs in asides if jobs)], walk.whole

    def spread(self, queue: str) -> tuple[int, int]:
        """Return how many open lanes the queue has, and how many entries its timers."""
        pipeline = self.client.pipeline(transaction=False)
        pipeline.zcard(self.key("timers", queue=queue))
        for resource in self.rings(queue):
            pipeline.zcard(self.key("ring", queue=queue, resource=resource))
        timers, *sizes = pipeline.execute()
        return sum(sizes), timers

    def rings(self, queue: str, out: Sequence[str] = ()) -> list[str]:
        """Return the resources with an open ring, and those in ``out``."""
        found = self.client.zrange(self.key("rings", queue=queue), 0, RINGS - 1)
        return list(dict.fromkeys([*(name.decode() for name in found), *out]))[:RINGS]

    def paused_with_jobs(self, queue: str) -> list[str]:
        """Return the paused tasks of the queue; jobs of theirs that have come to a head were put aside."""
        tasks = self.client.hget(self.key("gates", queue=queue), "tasks") or b""
        return [task for task in tasks.decode().split("\t") if task][:RINGS]

    def orgs_step(
        self, queue: str, of: str, resource: str, start: int, asked: Asked
    ) -> tuple[int, list[str]]:
        """Run one step of a walk through the orgs; return how many entries it read, and its lines."""
        read, text = self._run("places", queue, of, resource, start, STEP, asked)
        return read, text.decode().splitlines()


class _Walk:
    """Yields the orgs of a queue, lane by lane: name, what was asked for (None: it has none), gate."""

    def __init__(self, verbs: PlaceVerbs, queue: str, asked: Asked, *, only_kept: bool = False) -> None:
        self._verbs, self._queue, self._asked, self._only_kept = verbs, queue, asked, only_kept
        self._out: list[str] = []
        self.whole = True

    def __iter__(self) -> Iterator[tuple[str, float | None, str]]:
        yield from self._steps("timers")
        rings = self._out[:RINGS] if self._only_kept else self._verbs.rings(self._queue, self._out)
        self.whole = self.whole and len(rings) < RINGS
        for resource in rings:
            yield from self._steps("ring", resource, "resource" if resource in self._out else "")

    def _steps(self, of: str, resource: str = "", gate: str = "") -> Iterator[tuple[str, float | None, str]]:
        for start in range(0, WALKED, STEP):
            read, lines = self._verbs.orgs_step(self._queue, of, resource, start, self._asked)
            for line in lines:
                kind, name, *told = line.split(" ")
                if kind == "r":
                    self._out.append(name)
                else:
                    yield name, float(told[0]) if told else None, told[1] if len(told) > 1 else gate
            if read < STEP:
                return
        self.whole = False
