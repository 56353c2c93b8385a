"""What the waiting jobs of a queue are like, told from some of them.

Of a queue with few orgs a job at every so many is read on a walk through all of them. A walk costs a few
microseconds for each org, so of a queue with many orgs jobs are drawn by lot from all that live.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from queueops.engine import places
from queueops.engine.places import PlaceVerbs
from queueops.engine.rules.envelope import unpack

__all__ = ["Lots", "Sample", "Sampled", "Standing", "Survey", "SurveyVerbs"]

#: With more orgs than this, and more jobs of a kind than the second, these are drawn by lot.
FEW_ORGS, FEW_JOBS = 1_500, 2_000
#: Jobs that one script draws.
DRAWN = 125
#: A distance that no job is read at.
_NEVER = 1e15


@dataclass(frozen=True, slots=True)
class Standing:
    """What a queue may run. ``concurrency``: most jobs at once, as set. ``ramp_until_ms``: until when it
    opens gradually, 0: it does not.
    """

    concurrency: int | None
    ramp_until_ms: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the head line of a waiting job says. ``at_ms``: its rank or its due time."""

    at_ms: float
    patience_ms: int
    deadline_ms: int
    first_ms: int
    attempt: int

    @property
    def ready_since_ms(self) -> float:
        """Since when it is ready; a deadline may have pulled its rank forward."""
        return max(self.at_ms - self.patience_ms, self.first_ms)


#: Jobs drawn by lot, by queue and state.
Lots = Mapping[tuple[str, str], Sequence[Sampled]]


@dataclass(frozen=True, slots=True)
class Sample:
    """Some jobs of ``total``; ``exact`` when they are all of them."""

    total: int
    jobs: tuple[Sampled, ...]
    exact: bool

    @classmethod
    def of(cls, total: int, jobs: Sequence[Sampled]) -> Sample:
        """A sample that takes no job twice."""
        return cls(total, tuple(jobs), len(jobs) >= total)

    def scaled(self, count: int) -> int:
        """What ``count`` jobs of the sample stand for."""
        return count if self.exact or not self.jobs else round(count * self.total / len(self.jobs))


@dataclass(frozen=True, slots=True)
class Survey:
    """The waiting jobs of a queue.

    ``held``: ready ones of closed lanes, and of paused tasks. ``oldest_ms``: since when the first of these
    lanes, and of the sample, is ready. ``whole``: no closed lane was left out.
    """

    ready: Sample
    scheduled: Sample
    blocked: Sample
    held: int
    oldest_ms: float | None
    whole: bool


@dataclass(slots=True)
class _Walk:
    """How far a survey is: jobs passed, how many of them were read, and every how many one is (0: they are
    not even counted).
    """

    distances: tuple[float, float]
    ready: tuple[int, int] = (0, 0)
    other: tuple[int, int] = (0, 0)
    held: int = 0
    oldest: list[float] = field(default_factory=list)
    out: list[str] = field(default_factory=list)
    ready_jobs: list[Sampled] = field(default_factory=list)
    other_jobs: list[Sampled] = field(default_factory=list)


class SurveyVerbs(PlaceVerbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def standing(self, queue: str) -> Standing:
        """Return what the queue may run."""
        concurrency, ramp = self.client.hmget(self.key("gates", queue=queue), "concurrency", "ramp")
        return Standing(int(concurrency) if concurrency else None, int(ramp.split()[1]) if ramp else 0)

    def lots_drawn(self, jobs: int) -> Lots:
        """Return about ``jobs`` of all jobs that live, drawn by lot, by queue and state."""
        found: dict[tuple[str, str], list[Sampled]] = {}
        for _ in range(0, jobs, DRAWN):
            for line in self._run("draw", DRAWN).decode("utf-8", "replace").splitlines():
                queue, state, at, head = line.split("\t", 3)
                found.setdefault((queue, state), []).append(_sampled(at, head))
        return found

    def survey(
        self, queue: str, ready: int, scheduled: int, blocked: int, jobs: int, lots: Callable[[], Lots]
    ) -> Survey:
        """Return what the waiting jobs of the queue are like.

        ``ready``, ``scheduled``, ``blocked``: how many there are, about. ``jobs``: how many of each are read
        at most, about; all of them if they are no more. ``lots``: returns jobs drawn by lot, for a queue with
        many orgs.
        """
        lanes, timers = self.spread(queue)
        by_lot = lanes > FEW_ORGS and ready > FEW_JOBS
        later_by_lot = timers > FEW_ORGS and scheduled > FEW_JOBS
        ready_distance = _NEVER if by_lot else max(1.0, ready / jobs)
        walk = _Walk((ready_distance, 0.0 if later_by_lot else max(1.0, scheduled / jobs)))
        whole = self._walk_on(walk, queue, "timers")
        later = Sample.of(walk.other[0], walk.other_jobs)
        held = walk.held
        for resource in walk.out if by_lot else self.rings(queue, walk.out):
            before = walk.ready[0]
            whole = self._walk_on(walk, queue, "ring", resource) and whole
            held += walk.ready[0] - before if resource in walk.out else 0
        before = walk.ready[0]
        for task in self.paused_with_jobs(queue):
            self._walk_on(walk, queue, "aside", task)
        held += walk.ready[0] - before
        rest = _Walk((1.0, max(1.0, blocked / jobs)))
        if blocked:
            self._walk_on(rest, queue, "blocked")
        now = Sample.of(walk.ready[0], walk.ready_jobs)
        if by_lot:
            now = Sample(ready, tuple(lots().get((queue, "ready"), ())), exact=False)
        if later_by_lot:
            later = Sample(scheduled, tuple(lots().get((queue, "scheduled"), ())), exact=False)
        return Survey(
            ready=now,
            scheduled=later,
            blocked=Sample.of(rest.other[0], rest.other_jobs),
            held=held,
            oldest_ms=min((*walk.oldest, *(job.ready_since_ms for job in now.jobs)), default=None),
            whole=whole,
        )

    def _walk_on(self, walk: _Walk, queue: str, of: str, name: str = "") -> bool:
        """Walk on through one ring or the like; return whether to its end."""
        ready_distance, other_distance = (f"{distance:.9g}" for distance in walk.distances)
        for start in range(0, places.WALKED, places.STEP):
            passed = (*walk.ready, ready_distance, *walk.other, other_distance)
            reply = self._run("survey", queue, of, name, start, places.STEP, *passed)
            entries, ready, ready_read, others, others_read, held, oldest, out, text = reply
            walk.ready, walk.other = (ready, ready_read), (others, others_read)
            walk.held += held
            walk.oldest += [float(oldest)] if oldest else []
            walk.out += [resource for resource in out.decode().split("\t") if resource]
            for line in text.decode("utf-8", "replace").splitlines():
                kind, at, head = line.split("\t", 2)
                (walk.ready_jobs if kind == "r" else walk.other_jobs).append(_sampled(at, head))
            if entries < places.STEP:
                return True
        return False


def _sampled(at: str, line: str) -> Sampled:
    head, _ = unpack(line)
    return Sampled(float(at), head.patience_ms, head.deadline_ms, head.first_ms, head.attempt)
