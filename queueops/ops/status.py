"""How the queues do: one look at all that an operator wants to know of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from queueops.conf import config
from queueops.engine.history import Bucket, combined
from queueops.engine.rules.states import JobState
from queueops.engine.store import Store
from queueops.engine.types import Pause, QueueSnapshot
from queueops.errors import UnknownQueue
from queueops.ops import broker, health, permissions, waiting
from queueops.ops.health import Health
from queueops.ops.letter_counts import open_letters
from queueops.ops.permissions import Actor
from queueops.ops.stats import Summary, summary
from queueops.ops.waiting import Lots, Waiting

__all__ = ["Overview", "QueueStatus", "status"]

#: Minutes that `per_second` looks back.
RECENT_MINUTES = 5


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """A queue, or ("") all of them together.

    Figures whose names are in `estimated` were taken from a sample of about 500 jobs; the others are counted.

    Attributes:
        queued: ready jobs; those of closed lanes are among them. running: leased ones.
        scheduled: those that wait for a time. blocked: for other jobs, or held by a person.
        throttled: ready jobs whose lane a gate of its org or resource has closed, or whose task is paused.
        retrying: scheduled jobs whose next attempt is not their first.
        succeeded_last_hour, failed_last_hour, ended_last_hour: attempts; failed ones ended in an error.
        avg_queue_age_seconds: mean of how long the ready jobs have been ready; None when there are none.
        oldest_wait_seconds: the longest of these, among the first jobs of the orgs with the lowest ranks.
        dead_letters_total: letters that nobody has decided about, and those not yet in the database.
        past_deadline: jobs that wait and whose deadline has passed.
        by_status: the same by state; ended ones count since the broker began, and dead are open letters.
        total_jobs: jobs that live.
        max_concurrent_jobs: the cap, or else the slots of the workers.
        slots, workers: of the living workers that serve it.
        orgs_waiting: orgs with ready jobs.
        priority_distribution: ready jobs by priority, 0 to 10.
        avg_queue_time_seconds, avg_execution_time_seconds: of the attempts of the last hour.
        per_second: attempts that ended, in the last five minutes.
        paused: who has closed the queue, until when (ms, 0 is until resumed) and why.
        ramp_until: until when it opens gradually.
        concurrency: the cap as set; None without one.
        totals: counters since the broker began.
    """

    queue: str
    queued: int
    running: int
    scheduled: int
    blocked: int
    throttled: int
    retrying: int
    succeeded_last_hour: int
    failed_last_hour: int
    ended_last_hour: int
    avg_queue_age_seconds: float | None
    oldest_wait_seconds: float | None
    dead_letters_total: int
    past_deadline: int
    by_status: dict[str, int]
    total_jobs: int
    max_concurrent_jobs: int | None
    slots: int
    workers: int
    orgs_waiting: int
    priority_distribution: dict[str, int]
    avg_queue_time_seconds: float | None
    avg_execution_time_seconds: float | None
    per_second: float
    paused: Pause | None
    ramp_until: datetime | None
    concurrency: int | None
    totals: dict[str, int]
    health: Health
    estimated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overview:
    """The queues at one moment, by name, and their sum."""

    at: datetime
    total: QueueStatus
    queues: tuple[QueueStatus, ...]


def status(actor: Actor, queue: str | None = None) -> Overview:
    """Look at one queue, or at all that the settings or the broker know.

    Raises:
        PermissionDenied: the actor may not see operations.
        UnknownQueue: neither the settings nor the broker know the queue.
        BrokerUnavailable: the broker does not answer.
    """
    actor.require(permissions.VIEW_OPERATIONS)
    with broker.store() as store:
        known = sorted({*config().queues, *store.queues()})
        if queue is not None and queue not in known:
            raise UnknownQueue(queue, known)
        names = known if queue is None else [queue]
        now_ms = store.now_ms()
        letters = open_letters(store)
        histories = store.histories([(name, "") for name in names])
        lots = Lots(store)
        looks = [
            _look(store, name, now_ms, buckets, letters[name], lots)
            for name, buckets in zip(names, histories, strict=True)
        ]
        workers = [one for one in store.workers() if not one.lapsed and set(one.queues) & set(names)]
    total = _total(looks, sum(one.offers for one in workers), len(workers))
    return Overview(datetime.fromtimestamp(now_ms / 1000, UTC), total, tuple(one.status for one in looks))


@dataclass(frozen=True, slots=True)
class _Look:
    status: QueueStatus
    waiting: Waiting
    buckets: Sequence[Bucket]
    now_ms: int


def _look(
    store: Store, queue: str, now_ms: int, buckets: Sequence[Bucket], letters: int, lots: Lots
) -> _Look:
    settings = config().queue(queue)
    snapshot, standing = store.queue_snapshot(queue), store.standing(queue)
    waits = waiting.look(store, snapshot, settings.patience_ms, lots)
    past = _past(buckets, now_ms)
    cap = standing.concurrency
    figures = {
        "active_share": snapshot.leased / cap if cap else None,
        "waiting": float(snapshot.ready),
        "failure_share": past.hour.failure_share,
        "wait_seconds": _most(past.recent_wait_seconds, waits.age_seconds),
    }
    found = QueueStatus(
        queue=queue,
        queued=snapshot.ready,
        running=snapshot.leased,
        scheduled=snapshot.scheduled,
        blocked=snapshot.blocked,
        dead_letters_total=letters,
        by_status=_by_status(snapshot, letters),
        total_jobs=snapshot.ready + snapshot.leased + snapshot.scheduled + snapshot.blocked,
        max_concurrent_jobs=snapshot.slots if cap is None else cap,
        slots=snapshot.slots,
        workers=standing.workers,
        orgs_waiting=snapshot.orgs_waiting,
        paused=snapshot.paused,
        ramp_until=_at(standing.ramp_until_ms) if standing.ramp_until_ms > now_ms else None,
        concurrency=cap,
        totals=snapshot.totals,
        health=health.judged(figures, settings.health),
        **_waiting_fields(waits, now_ms),
        **_past_fields(past),
    )
    return _Look(found, waits, buckets, now_ms)


def _total(looks: Sequence[_Look], slots: int, workers: int) -> QueueStatus:
    parts = [one.status for one in looks]
    now_ms = max((one.now_ms for one in looks), default=0)
    hour = [combined(buckets) for buckets in zip(*(one.buckets for one in looks), strict=True)]
    caps = [one.concurrency for one in parts]
    # A worker's slots serve several queues, so theirs do not add up.
    cap = sum(one for one in caps if one is not None) if caps and None not in caps else None

    def summed(name: str) -> int:
        return sum(getattr(one, name) for one in parts)

    def counted(name: str) -> dict[str, int]:
        total: Counter[str] = Counter()
        for one in parts:
            total.update(getattr(one, name))
        return dict(total)

    return QueueStatus(
        queue="",
        queued=summed("queued"),
        running=summed("running"),
        scheduled=summed("scheduled"),
        blocked=summed("blocked"),
        dead_letters_total=summed("dead_letters_total"),
        by_status=counted("by_status"),
        total_jobs=summed("total_jobs"),
        max_concurrent_jobs=slots if cap is None else cap,
        slots=slots,
        workers=workers,
        orgs_waiting=summed("orgs_waiting"),
        paused=parts[0].paused if len(parts) == 1 else None,
        ramp_until=parts[0].ramp_until if len(parts) == 1 else None,
        concurrency=cap,
        totals=counted("totals"),
        health=health.combined(one.health for one in parts),
        **_waiting_fields(waiting.combined(one.waiting for one in looks), now_ms),
        **_past_fields(_past(hour, now_ms)),
    )


@dataclass(frozen=True, slots=True)
class _Past:
    hour: Summary
    per_second: float
    recent_wait_seconds: float | None


def _past(buckets: Sequence[Bucket], now_ms: int) -> _Past:
    """What the last hour and its last minutes say; the running minute is the last bucket."""
    recent = list(buckets[-RECENT_MINUTES - 1 :])
    last = summary(combined(recent), "", "", RECENT_MINUTES * 60 + now_ms % 60_000 / 1000)
    return _Past(
        summary(combined(buckets), "", "", 3600), last.per_second if recent else 0.0, last.wait.mean_seconds
    )


def _past_fields(past: _Past) -> dict[str, Any]:
    return {
        "succeeded_last_hour": past.hour.succeeded,
        "failed_last_hour": past.hour.failed,
        "ended_last_hour": past.hour.ended,
        "avg_queue_time_seconds": past.hour.avg_queue_time_seconds,
        "avg_execution_time_seconds": past.hour.avg_execution_time_seconds,
        "per_second": past.per_second,
    }


def _waiting_fields(waits: Waiting, now_ms: int) -> dict[str, Any]:
    oldest = waits.oldest_ms
    return {
        "throttled": waits.throttled,
        "retrying": waits.retrying,
        "past_deadline": waits.past_deadline,
        "priority_distribution": dict(waits.priorities),
        "avg_queue_age_seconds": waits.age_seconds,
        "oldest_wait_seconds": None if oldest is None else max(0.0, now_ms - oldest) / 1000,
        "estimated": tuple(sorted(waits.estimated)),
    }


def _by_status(snapshot: QueueSnapshot, letters: int) -> dict[str, int]:
    return {
        JobState.SCHEDULED.value: snapshot.scheduled,
        JobState.BLOCKED.value: snapshot.blocked,
        JobState.READY.value: snapshot.ready,
        JobState.LEASED.value: snapshot.leased,
        JobState.SUCCEEDED.value: snapshot.totals["succeeded"],
        JobState.DEAD.value: letters,
        JobState.CANCELLED.value: snapshot.totals["cancelled"],
    }


def _most(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
