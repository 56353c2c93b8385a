"""What has happened lately, from the broker's own history: throughput, durations, failures, slow jobs.

Reading needs no permission of its own, and no database; what shows single jobs to people asks for VIEW_JOBS.
Numbers of the last hour come from the counters of its minutes, the running one included; longer times from
those of the hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from queueops.conf import config
from queueops.engine.history import HOURS_KEPT, MINUTES_KEPT, Bucket, Ended, combined
from queueops.engine.rules.histogram import percentile
from queueops.engine.store import Store
from queueops.errors import UnknownQueue
from queueops.ops import broker
from queueops.ops.fingerprint import normalised
from queueops.ops.masking import mask_text

__all__ = [
    "Durations",
    "ErrorGroup",
    "Point",
    "Summary",
    "by_task",
    "duplicates",
    "error_summary",
    "failures",
    "last_hour",
    "slow_jobs",
    "summary",
    "throughput",
    "throughput_by_queue",
]


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took; None where nothing was measured.

    The mean is exact, the percentiles are interpolated within the buckets of a histogram.
    """

    count: int
    mean_seconds: float | None
    p50_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What ended in a queue (all: "") or of one of its tasks (all: "") over `seconds`.

    Attributes:
        ended: attempts that ended.
        succeeded: those that did what they should.
        failed: attempts that ended in an error, also when another attempt follows.
        dead, retried, cancelled, lost: how the others ended; lost is with the worker.
        failure_share: failed of ended, 0 to 1; None when nothing ended.
        per_second: ended, on average.
        wait: from ready to claimed.
        run: in the task's body.
    """

    queue: str
    task: str
    seconds: float
    ended: int
    succeeded: int
    failed: int
    dead: int
    retried: int
    cancelled: int
    lost: int
    failure_share: float | None
    per_second: float
    wait: Durations
    run: Durations

    @property
    def avg_queue_time_seconds(self) -> float | None:
        """Mean seconds between ready and claimed."""
        return self.wait.mean_seconds

    @property
    def avg_execution_time_seconds(self) -> float | None:
        """Mean seconds in the task's body."""
        return self.run.mean_seconds


@dataclass(frozen=True, slots=True)
class Point:
    """What ended in one minute or hour; the last one of a series is still running."""

    start: datetime
    seconds: int
    ended: int
    succeeded: int
    failed: int
    mean_wait_seconds: float | None
    mean_run_seconds: float | None


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Failed attempts with one class of error. `message`: of the latest of them that is still listed, without
    what differs from job to job and with its secrets masked; empty if none is.
    """

    queue: str
    error: str
    count: int
    last_seen: datetime
    message: str


def last_hour(queues: Sequence[str] | None = None) -> dict[str, Summary]:
    """Return what ended in the last 60 minutes, by queue (None: all); the sum of them is under "".

    Raises:
        UnknownQueue: neither the settings nor the broker know one of the queues.
        BrokerUnavailable: the broker does not answer.
    """
    with broker.store() as store:
        names = _queues(store, queues)
        found = store.histories([(name, "") for name in names], minutes=MINUTES_KEPT)
    totals = [combined(buckets) for buckets in found]
    by_queue = {
        name: summary(total, name, "", MINUTES_KEPT * 60) for name, total in zip(names, totals, strict=True)
    }
    return {"": summary(combined(totals), "", "", MINUTES_KEPT * 60), **by_queue}


def by_task(queue: str | None = None, *, hours: int = 1) -> list[Summary]:
    """Return what ended in the last `hours` (at most 192) by queue and task, most first.

    Raises as `last_hour`.
    """
    with broker.store() as store:
        names = [(name, task) for name in _queues(store, _one(queue)) for task in store.tasks(name)]
        found = _read(store, names, hours)
    summaries = [
        summary(combined(buckets), name, task, max(1, hours) * 3600)
        for (name, task), buckets in zip(names, found, strict=True)
    ]
    return sorted((one for one in summaries if one.ended), key=lambda one: -one.ended)


def duplicates() -> dict[str, int]:
    """Return how often a publish was answered by the job that had its unique key, by task, ever.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    with broker.store() as store:
        return store.existing()


def throughput(
    queue: str | None = None, task: str = "", *, minutes: int | None = None, hours: int | None = None
) -> list[Point]:
    """Return a point a minute (at most 60) or an hour (at most 192), oldest first. Raises as `last_hour`."""
    with broker.store() as store:
        names = [(name, task) for name in _queues(store, _one(queue))]
        found = store.histories(names, minutes=minutes, hours=hours)
    seconds = 60 if hours is None else 3600
    return [_point(combined(buckets), seconds) for buckets in zip(*found, strict=True)]


def throughput_by_queue(*, minutes: int = 60) -> dict[str, list[Point]]:
    """Return a point a minute for each queue that is known, oldest first, and their sum under "".

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    with broker.store() as store:
        names = _queues(store, None)
        found = dict(
            zip(names, store.histories([(name, "") for name in names], minutes=minutes), strict=True)
        )
    found[""] = [combined(buckets) for buckets in zip(*found.values(), strict=True)]
    return {name: [_point(bucket, 60) for bucket in buckets] for name, buckets in found.items()}


def error_summary(queue: str | None = None, *, hours: int = 1) -> list[ErrorGroup]:
    """Return the failed attempts of the last `hours` (at most 192) by queue and error class, most first.

    Raises as `last_hour`.
    """
    with broker.store() as store:
        names = _queues(store, _one(queue))
        found = _read(store, [(name, "") for name in names], hours)
        told = {name: _messages(store.recent("failed", 1_000, name)) for name in names}
    groups = [
        ErrorGroup(name, error, count, _at(total.last_seen_ms.get(error, 0)), told[name].get(error, ""))
        for name, total in zip(names, map(combined, found), strict=True)
        for error, count in total.errors.items()
    ]
    return sorted(groups, key=lambda group: (-group.count, group.queue, group.error))


def failures(queue: str | None = None, *, limit: int = 20) -> list[Ended]:
    """Return the latest failed attempts, newest first; the last 1,000 of a queue are kept. The messages have
    their secrets masked.

    Raises as `last_hour`.
    """
    with broker.store() as store:
        _queues(store, _one(queue))
        return [_shown(ended) for ended in store.recent("failed", limit, queue)]


def slow_jobs(queue: str | None = None, *, limit: int = 20, hours: int = 1) -> list[Ended]:
    """Return the longest runs of the running hour and the `hours` (at most 24) before it, longest first.

    A queue keeps 50 of each hour, for a day; messages are masked. Raises as `last_hour`.
    """
    with broker.store() as store:
        _queues(store, _one(queue))
        return [_shown(ended) for ended in store.recent("slow", limit, queue, hours=hours + 1)]


def summary(total: Bucket, queue: str, task: str, seconds: float) -> Summary:
    """Return what a bucket says about `seconds`."""
    return Summary(
        queue=queue,
        task=task,
        seconds=seconds,
        ended=total.ended,
        succeeded=total.succeeded,
        failed=total.failed,
        dead=total.dead,
        retried=total.retried,
        cancelled=total.cancelled,
        lost=total.lost,
        failure_share=total.failed / total.ended if total.ended else None,
        per_second=total.ended / seconds,
        wait=_durations(total.wait, total.wait_ms),
        run=_durations(total.run, total.run_ms),
    )


def _durations(counts: Sequence[int], total_ms: float) -> Durations:
    count = sum(counts)
    shares = [percentile(counts, share) for share in (0.5, 0.95, 0.99)]
    p50, p95, p99 = (None if ms is None else ms / 1000 for ms in shares)
    return Durations(count, total_ms / count / 1000 if count else None, p50, p95, p99)


def _point(bucket: Bucket, seconds: int) -> Point:
    wait, run = _durations(bucket.wait, bucket.wait_ms), _durations(bucket.run, bucket.run_ms)
    return Point(
        _at(bucket.start_ms),
        seconds,
        bucket.ended,
        bucket.succeeded,
        bucket.failed,
        wait.mean_seconds,
        run.mean_seconds,
    )


def _read(store: Store, names: Sequence[tuple[str, str]], hours: int) -> list[list[Bucket]]:
    if hours <= 1:
        return store.histories(names, minutes=MINUTES_KEPT)
    return store.histories(names, hours=min(hours, HOURS_KEPT))


def _messages(failed: Sequence[Ended]) -> dict[str, str]:
    latest = {ended.error: ended.message for ended in reversed(failed)}
    return {error: normalised(mask_text(message)) for error, message in latest.items()}


def _shown(ended: Ended) -> Ended:
    return replace(ended, message=mask_text(ended.message)) if ended.message else ended


def _queues(store: Store, wanted: Sequence[str] | None) -> list[str]:
    known = sorted({*config().queues, *store.queues()})
    for name in wanted or ():
        if name not in known:
            raise UnknownQueue(name, known)
    return known if wanted is None else list(wanted)


def _one(queue: str | None) -> list[str] | None:
    return None if queue is None else [queue]


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
