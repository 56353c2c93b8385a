"""What a queue's waiting jobs are like: counted by place, and told from a sample where they are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from queueops.engine.places import Place, Sample
from queueops.engine.rules.priority import effective
from queueops.engine.store import Store

__all__ = ["HEADS", "SAMPLED", "Waiting", "combined", "look"]

#: Jobs that are read of those that are ready, and of those that are scheduled or blocked.
SAMPLED = 500
#: Places whose first job is read, to find the one that has waited longest.
HEADS = 50


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


def look(
    store: Store,
    queue: str,
    patience: Mapping[int, int] | None,
    now_ms: int,
    walked: tuple[list[Place], bool] | None = None,
) -> Waiting:
    """Look at what waits in the queue.

    Args:
        patience: the queue's own table, as `rules.priority.effective` takes it.
        now_ms: the broker's time.
        walked: what `Store.places` has answered a moment ago, where the caller needs it too.
    """
    places, whole = walked or store.places(queue)
    ready_places = [place for place in places if place.kind in ("lane", "aside")]
    ready = store.sample(queue, ready_places, SAMPLED)
    later = {
        kind: store.sample(queue, [place for place in places if place.kind == kind], SAMPLED)
        for kind in ("scheduled", "blocked")
    }
    samples = {"ready": ready, **later}
    retries = sum(1 for job in later["scheduled"].jobs if job.attempt)
    return Waiting(
        ready=ready.total,
        throttled=sum(place.jobs for place in ready_places if place.gate),
        retrying=later["scheduled"].scaled(retries),
        past_deadline=sum(_overdue(sample, now_ms) for sample in samples.values()),
        priorities=_priorities(ready, patience),
        age_seconds=_age_seconds(ready, now_ms),
        oldest_ms=_oldest_ms(store, queue, ready_places, ready),
        estimated=_estimated(samples, whole),
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


def _oldest_ms(store: Store, queue: str, places: Iterable[Place], ready: Sample) -> float | None:
    oldest = sorted((place for place in places if place.kind == "lane"), key=lambda place: place.first_ms)
    heads = store.heads(queue, oldest[:HEADS]).values()
    return min((job.ready_since_ms for job in (*heads, *ready.jobs)), default=None)


def _estimated(samples: Mapping[str, Sample], whole: bool) -> frozenset[str]:
    names: set[str] = set()
    if not samples["ready"].exact:
        names |= {"priority_distribution", "avg_queue_age_seconds", "past_deadline"}
    if not samples["scheduled"].exact:
        names |= {"retrying", "past_deadline"}
    if not samples["blocked"].exact:
        names |= {"past_deadline"}
    if not whole:
        names |= {"throttled", "oldest_wait_seconds"}
    return frozenset(names)
