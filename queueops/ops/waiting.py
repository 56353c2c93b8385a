"""What a queue's waiting jobs are like: counted by place, and told from a sample where they are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from queueops.engine import survey
from queueops.engine.rules.priority import effective
from queueops.engine.store import Store
from queueops.engine.survey import Sample
from queueops.engine.types import QueueSnapshot

__all__ = ["LOTS", "SAMPLED", "Lots", "Waiting", "combined", "look"]

#: Jobs of a queue that are read: so many that are ready, that are scheduled, and that are blocked.
SAMPLED = 500
#: Jobs that are drawn by lot where queues have many orgs, of all queues together.
LOTS = 500


@dataclass(frozen=True, slots=True)
class Waiting:
    """The waiting jobs of a queue.

    Attributes:
        ready: jobs in lanes, or put aside.
        throttled: those of them that a gate of their org, resource or task keeps there.
        retrying: scheduled ones whose next attempt is not their first.
        past_deadline: those whose deadline has passed.
        priorities: ready ones by priority.
        age_seconds: mean of how long the ready ones have been ready; None when there are none.
        oldest_ms: since when the first of them is ready.
        estimated: names of those of these figures that were taken from a sample.
    """

    ready: int = 0
    throttled: int = 0
    retrying: int = 0
    past_deadline: int = 0
    priorities: Mapping[str, int] = field(default_factory=dict)
    age_seconds: float | None = None
    oldest_ms: float | None = None
    estimated: frozenset[str] = frozenset()


class Lots:
    """Jobs drawn by lot from all queues: drawn once, when the first queue with many orgs asks for them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __call__(self) -> survey.Lots:
        """By queue and state."""
        return self._drawn

    @cached_property
    def _drawn(self) -> survey.Lots:
        return self._store.lots_drawn(LOTS)


def look(store: Store, snapshot: QueueSnapshot, patience: Mapping[int, int] | None, lots: Lots) -> Waiting:
    """Look at what waits in the queue of the snapshot.

    Args:
        patience: the queue's own table, as `rules.priority.effective` takes it.
        lots: those of the same look at several queues.
    """
    now_ms = snapshot.now_ms
    found = store.survey(snapshot.queue, snapshot.ready, snapshot.scheduled, snapshot.blocked, SAMPLED, lots)
    samples = {"ready": found.ready, "scheduled": found.scheduled, "blocked": found.blocked}
    oldest = [ms for ms in (found.oldest_ms, snapshot.oldest_ready_ms) if ms is not None]
    return Waiting(
        ready=found.ready.total,
        throttled=found.held,
        retrying=found.scheduled.scaled(sum(1 for job in found.scheduled.jobs if job.attempt)),
        past_deadline=sum(_overdue(sample, now_ms) for sample in samples.values()),
        priorities=_priorities(found.ready, patience),
        age_seconds=_age_seconds(found.ready, now_ms),
        oldest_ms=min(oldest, default=None),
        estimated=_estimated(samples, found.whole),
    )


def combined(parts: Iterable[Waiting]) -> Waiting:
    """The waiting jobs of several queues."""
    found = list(parts)
    priorities: Counter[str] = Counter()
    for one in found:
        priorities.update(one.priorities)
    ready = sum(one.ready for one in found)
    aged = [one for one in found if one.age_seconds is not None]
    weight = sum(one.ready for one in aged)
    ages = sum((one.age_seconds or 0.0) * one.ready for one in aged)
    return Waiting(
        ready=ready,
        throttled=sum(one.throttled for one in found),
        retrying=sum(one.retrying for one in found),
        past_deadline=sum(one.past_deadline for one in found),
        priorities=dict(sorted(priorities.items(), key=lambda item: int(item[0]))),
        age_seconds=ages / weight if weight else None,
        oldest_ms=min((one.oldest_ms for one in found if one.oldest_ms is not None), default=None),
        estimated=frozenset().union(*(one.estimated for one in found)),
    )


def _overdue(sample: Sample, now_ms: int) -> int:
    return sample.scaled(sum(1 for job in sample.jobs if 0 < job.deadline_ms < now_ms))


def _priorities(ready: Sample, patience: Mapping[int, int] | None) -> dict[str, int]:
    by_patience = Counter(job.patience_ms for job in ready.jobs)
    counts: Counter[int] = Counter()
    for ms, number in by_patience.items():
        counts[effective(ms, patience)] += number
    return {str(priority): ready.scaled(counts[priority]) for priority in sorted(counts)}


def _age_seconds(ready: Sample, now_ms: int) -> float | None:
    ages = [max(0.0, now_ms - job.ready_since_ms) / 1000 for job in ready.jobs]
    return sum(ages) / len(ages) if ages else None


def _estimated(samples: Mapping[str, Sample], whole: bool) -> frozenset[str]:
    names: set[str] = set()
    if not samples["ready"].exact:
        names |= {"priority_distribution", "avg_queue_age_seconds", "oldest_wait_seconds", "past_deadline"}
    if not samples["scheduled"].exact:
        names |= {"retrying", "past_deadline"}
    if not samples["blocked"].exact:
        names |= {"past_deadline"}
    if not whole:
        names |= {"throttled"}
    return frozenset(names)
