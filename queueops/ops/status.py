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
from queueops.engine.types import QueueSnapshot, WorkerInfo
from queueops.errors import UnknownQueue
from queueops.ops import broker, health, permissions, waiting
from queueops.ops.letter_counts import open_letters
from queueops.ops.permissions import Actor
from queueops.ops.queue_status import Overview, QueueStatus
from queueops.ops.stats import summary
from queueops.ops.waiting import Lots, Waiting

__all__ = ["Overview", "QueueStatus", "status"]

#: Minutes that `per_second` looks back.
RECENT_MINUTES = 5


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
        workers = [one for one in store.workers() if not one.lapsed]
        lots = Lots(store)
        looks = [
            _look(store, name, now_ms, buckets, letters[name], workers, lots)
            for name, buckets in zip(names, histories, strict=True)
        ]
    total = _total(looks, [one for one in workers if set(one.queues) & set(names)], now_ms)
    return Overview(_at(now_ms), total, tuple(one.status for one in looks))


@dataclass(frozen=True, slots=True)
class _Past:
    """What ended in the last hour, and in its last minutes."""

    hour: Bucket
    recent: Bucket


@dataclass(frozen=True, slots=True)
class _Look:
    status: QueueStatus
    waiting: Waiting
    past: _Past


def _look(
    store: Store,
    queue: str,
    now_ms: int,
    buckets: Sequence[Bucket],
    letters: int,
    workers: Sequence[WorkerInfo],
    lots: Lots,
) -> _Look:
    settings = config().queue(queue)
    snapshot, standing = store.queue_snapshot(queue), store.standing(queue)
    waits = waiting.look(store, snapshot, settings.patience_ms, lots)
    # The running minute is the last bucket.
    past = _Past(combined(buckets), combined(buckets[-RECENT_MINUTES - 1 :]))
    serving = [one for one in workers if queue in one.queues]
    slots, cap = sum(one.offers for one in serving), standing.concurrency
    figures = {
        "active_share": snapshot.leased / cap if cap else None,
        "waiting": float(snapshot.ready),
        "failure_share": past.hour.failed / past.hour.ended if past.hour.ended else None,
        "wait_seconds": _most(summary(past.recent, "", "", 1).wait.mean_seconds, waits.age_seconds),
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
        max_concurrent_jobs=slots if cap is None else cap,
        slots=slots,
        workers=len(serving),
        orgs_waiting=snapshot.orgs_waiting,
        paused=snapshot.paused,
        ramp_until=_at(standing.ramp_until_ms) if standing.ramp_until_ms > now_ms else None,
        concurrency=cap,
        totals=snapshot.totals,
        health=health.judged(figures, settings.health),
        **_waiting_fields(waits, now_ms),
        **_past_fields(past, now_ms),
    )
    return _Look(found, waits, past)


def _total(looks: Sequence[_Look], workers: Sequence[WorkerInfo], now_ms: int) -> QueueStatus:
    parts = [one.status for one in looks]
    past = _Past(combined(one.past.hour for one in looks), combined(one.past.recent for one in looks))
    # A worker's slots serve several queues, so those of the queues do not add up.
    slots = sum(one.offers for one in workers)
    caps = [one.concurrency for one in parts]
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
        workers=len(workers),
        orgs_waiting=summed("orgs_waiting"),
        paused=parts[0].paused if len(parts) == 1 else None,
        ramp_until=parts[0].ramp_until if len(parts) == 1 else None,
        concurrency=cap,
        totals=counted("totals"),
        health=health.combined(one.health for one in parts),
        **_waiting_fields(waiting.combined(one.waiting for one in looks), now_ms),
        **_past_fields(past, now_ms),
    )


def _past_fields(past: _Past, now_ms: int) -> dict[str, Any]:
    hour = summary(past.hour, "", "", 3600)
    return {
        "succeeded_last_hour": hour.succeeded,
        "failed_last_hour": hour.failed,
        "ended_last_hour": hour.ended,
        "avg_queue_time_seconds": hour.avg_queue_time_seconds,
        "avg_execution_time_seconds": hour.avg_execution_time_seconds,
        "per_second": past.recent.ended / (RECENT_MINUTES * 60 + now_ms % 60_000 / 1000),
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
