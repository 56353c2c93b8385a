"""What ended lately, as the scripts wrote it down: counters a minute and an hour, and bounded lists.

Nothing here is the database's: the numbers are right at any rate, also for jobs whose results nobody keeps.

A queue's list holds one line an attempt. The scripts count the lines :data:`FOLD` at a time, so counting
costs little; the lines that are not counted yet are counted here, by whoever asks.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from queueops.engine.rules.histogram import EMPTY, added, counted
from queueops.engine.verbs import Verbs

__all__ = [
    "FOLD",
    "HOURS_KEPT",
    "MINUTES_KEPT",
    "Bucket",
    "Ended",
    "HistoryVerbs",
    "Kind",
    "Span",
    "combined",
    "counted_name",
    "read_bucket",
    "read_ended",
]

#: Lines that are counted at a time; also in ``lua/lib/history.lua``.
FOLD = 256
#: How far back the counters go, the running minute or hour included.
MINUTES_KEPT, HOURS_KEPT = 60, 192

Span = Literal["minute", "hour"]
#: The bounded lists: what ended last, what failed last, what ran longest.
Kind = Literal["settled", "failed", "slow"]

SPAN_MS: Mapping[Span, int] = {"minute": 60_000, "hour": 3_600_000}
_COUNTS = ("ended", "failed", "dead", "retried", "cancelled", "lost")
#: How many hours before the running one the longest runs go back.
HOURS_OF_SLOWEST = 24
_STEP = 64
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Bucket:
    """The attempts that ended in one minute or hour.

    Attributes:
        start_ms: when it began; 0 where it means all time.
        ended: attempts that ended, whatever came out.
        failed: those that ended in an error: dead, retried after an error, or lost with their worker.
        dead, retried, cancelled, lost: how they ended; the rest succeeded.
        wait_ms, run_ms: how long they were ready before their claim, and ran, in sum.
        wait, run: the same as histograms over `rules.histogram.BOUNDS_MS`; what did not run is not in `run`.
        errors: how many failed with which error class.
        last_seen_ms: when each error class was seen last.
    """

    start_ms: int = 0
    ended: int = 0
    failed: int = 0
    dead: int = 0
    retried: int = 0
    cancelled: int = 0
    lost: int = 0
    wait_ms: int = 0
    run_ms: float = 0.0
    wait: tuple[int, ...] = EMPTY
    run: tuple[int, ...] = EMPTY
    errors: Mapping[str, int] = field(default_factory=dict)
    last_seen_ms: Mapping[str, int] = field(default_factory=dict)

    @property
    def succeeded(self) -> int:
        """Attempts that did what they should."""
        return max(0, self.ended - self.dead - self.retried - self.cancelled - self.lost)


@dataclass(frozen=True, slots=True)
class Ended:
    """One attempt that ended. Times are in ms; ``attempt`` counts from 1; ``error`` is empty if it did not
    fail. ``outcome``: succeeded, dead, retried, cancelled, or lost with its worker.
    """

    ended_ms: int
    queue: str
    org: str
    resource: str
    task: str
    task_id: str
    outcome: str
    wait_ms: int
    run_ms: float
    claimed_ms: int
    deliveries: int
    attempt: int
    error: str = ""
    message: str = ""

    def as_bucket(self) -> Bucket:
        """The attempt as what it adds to the counters."""
        return Bucket(
            ended=1,
            failed=int(bool(self.error)),
            dead=int(self.outcome == "dead"),
            retried=int(self.outcome == "retried"),
            cancelled=int(self.outcome == "cancelled"),
            lost=int(self.outcome == "lost"),
            wait_ms=self.wait_ms,
            run_ms=self.run_ms,
            wait=counted([self.wait_ms]),
            run=counted([self.run_ms] if self.run_ms > 0 else []),
            errors={self.error: 1} if self.error else {},
            last_seen_ms={self.error: self.ended_ms} if self.error else {},
        )


def combined(buckets: Iterable[Bucket]) -> Bucket:
    """Return the sum of buckets; it starts with the first of them."""
    parts = list(buckets)
    if len(parts) == 1:
        return parts[0]
    start_ms = min((bucket.start_ms for bucket in parts if bucket.start_ms), default=0)
    parts = [bucket for bucket in parts if bucket.ended]  # of most minutes there is nothing to add
    errors: dict[str, int] = {}
    last_seen: dict[str, int] = {}
    for bucket in parts:
        for error, number in bucket.errors.items():
            errors[error] = errors.get(error, 0) + number
        for error, ms in bucket.last_seen_ms.items():
            last_seen[error] = max(ms, last_seen.get(error, 0))
    return Bucket(
        start_ms=start_ms,
        **{name: sum(getattr(bucket, name) for bucket in parts) for name in (*_COUNTS, "wait_ms", "run_ms")},
        wait=added(bucket.wait for bucket in parts),
        run=added(bucket.run for bucket in parts),
        errors=errors,
        last_seen_ms=last_seen,
    )


class HistoryVerbs(Verbs):
    """Part of :class:`queueops.engine.store.Store`."""

    def history(
        self,
        queue: str | None = None,
        task: str = "",
        *,
        minutes: int | None = None,
        hours: int | None = None,
        now_ms: int | None = None,
    ) -> list[Bucket]:
        """Return what ended, a bucket a minute or (``hours``) an hour, oldest first, the running one last.

        ``queue``: None sums all queues; ``task``: ``""`` is every task. ``minutes``: at most 60, the default;
        ``hours``: at most 192.
        """
        queues = [queue] if queue is not None else self.queues() or [""]
        found = self.histories([(name, task) for name in queues], minutes=minutes, hours=hours, now_ms=now_ms)
        return [combined(buckets) for buckets in zip(*found, strict=True)]

    def histories(
        self,
        names: Sequence[tuple[str, str]],
        *,
        minutes: int | None = None,
        hours: int | None = None,
        now_ms: int | None = None,
    ) -> list[list[Bucket]]:
        """Return :meth:`history` of each (queue, task), read together."""
        span: Span = "minute" if hours is None else "hour"
        most = MINUTES_KEPT if hours is None else HOURS_KEPT
        count = min(max(1, (minutes or most) if hours is None else hours), most)
        at_ms = self.now_ms() if now_ms is None else now_ms
        size = SPAN_MS[span]
        numbers = range(at_ms // size - count + 1, at_ms // size + 1)

        def read() -> list[list[Mapping[bytes, bytes]]]:
            return [self._spans(queue, task, span, numbers) for queue, task in names]

        found, uncounted = self._with_uncounted({queue for queue, _ in names}, read)
        return [
            self._series(
                [read_bucket(fields, number * size) for number, fields in zip(numbers, hashes, strict=True)],
                uncounted[queue],
                task,
                size,
            )
            for (queue, task), hashes in zip(names, found, strict=True)
        ]

    def tasks(self, queue: str, now_ms: int | None = None) -> list[str]:
        """Return the names of the tasks that ended in ``queue`` in the last eight days and have counters."""
        at_ms = self.now_ms() if now_ms is None else now_ms
        first = at_ms // SPAN_MS["hour"] - HOURS_KEPT + 1
        uncounted = self._uncounted([queue])[0][queue]
        new = {counted_name(ended.task) for ended in uncounted if ended.ended_ms >= first * SPAN_MS["hour"]}
        return sorted(
            new.union(
                name.decode()
                for name in self.client.zrangebyscore(self.key("tasks", queue=queue), first, "+inf")
            )
        )

    def recent(
        self, kind: Kind, count: int, queue: str | None = None, *, hours: int = 1, now_ms: int | None = None
    ) -> list[Ended]:
        """Return the newest ``count`` attempts that ended (``settled``) or that failed (``failed``), newest
        first; or the longest runs (``slow``) of the last ``hours`` (at most 25, the running one included).
        """
        queues = [queue] if queue is not None else self.queues()
        if kind == "slow":
            at_ms = self.now_ms() if now_ms is None else now_ms
            return self._slowest(queues, count, min(max(1, hours), HOURS_OF_SLOWEST + 1), at_ms)
        family = "settled" if kind == "settled" else "failures"
        lines = [
            read_ended(name, line)
            for name in queues
            for line in reversed(self.client.lrange(self.key(family, queue=name), -count, -1))
        ]
        return heapq.nlargest(count, lines, key=lambda ended: ended.ended_ms)

    def last_attempt(self, task_id: str, queue: str = "") -> Ended | None:
        """Return the latest attempt of a task that ended, of the last 10,000 of each queue; None if none did.

        Reads these lists, for there is no index; for people, not for each job. ``queue``: only this one.
        """
        field = b"\t%b\t" % task_id.encode()
        found = [
            read_ended(name, line)
            for name in ([queue] if queue else self.queues())
            for line in self.client.lrange(self.key("settled", queue=name), 0, -1)
            if field in line
        ]
        those = (ended for ended in found if ended.task_id == task_id)
        return max(those, key=lambda ended: ended.ended_ms, default=None)

    def _slowest(self, queues: Sequence[str], count: int, hours: int, at_ms: int) -> list[Ended]:
        size = SPAN_MS["hour"]
        first = at_ms // size - hours + 1

        def read() -> list[Ended]:
            return [
                read_ended(queue, line)
                for queue in queues
                for hour in range(first, at_ms // size + 1)
                for line in self.client.zrevrange(
                    self.key("slowest", queue=queue, hour=str(hour)), 0, count - 1
                )
            ]

        slowest, uncounted = self._with_uncounted(queues, read)
        for ended in uncounted.values():
            slowest += [one for one in ended if one.run_ms > 0 and one.ended_ms >= first * size]
        return heapq.nlargest(count, slowest, key=lambda ended: ended.run_ms)

    def _spans(self, queue: str, task: str, span: Span, numbers: range) -> list[Mapping[bytes, bytes]]:
        # Most of them are not there: one script for some dozens costs a tenth of as many commands.
        found: list[Mapping[bytes, bytes]] = [{} for _ in numbers]
        for start in range(0, len(numbers), _STEP):
            step = numbers[start : start + _STEP]
            reply = self._run("spans", queue, task, span, step[0], len(step))
            for place, fields in zip(reply[::2], reply[1::2], strict=True):
                found[start + place] = dict(zip(fields[::2], fields[1::2], strict=True))
        return found

    def _with_uncounted(
        self, queues: Iterable[str], read: Callable[[], Any]
    ) -> tuple[Any, dict[str, list[Ended]]]:
        """Return what ``read`` returns and the lines that are not in it. Where lines were counted in between
        it is read again; on a queue that is never still the last answer may be off by one fold."""
        names = list(queues)
        for _ in range(_TRIES):
            uncounted, before = self._uncounted(names)
            answer = read()
            if before == self._counted_totals(names):
                break
        return answer, uncounted

    def _uncounted(self, queues: Sequence[str]) -> tuple[dict[str, list[Ended]], list[Any]]:
        pipeline = self.client.pipeline(transaction=True)
        for queue in queues:
            settled = self.key("settled", queue=queue)
            pipeline.llen(settled).lrange(settled, 1 - FOLD, -1)
            pipeline.hget(self.key("counts", queue=queue), "ended")
        read = pipeline.execute() if queues else []
        found = {
            queue: [read_ended(queue, line) for line in lines[len(lines) - length % FOLD :]]
            for queue, length, lines in zip(queues, read[::3], read[1::3], strict=True)
        }
        return found, read[2::3]

    def _counted_totals(self, queues: Sequence[str]) -> list[Any]:
        pipeline = self.client.pipeline(transaction=False)
        for queue in queues:
            pipeline.hget(self.key("counts", queue=queue), "ended")
        return list(pipeline.execute()) if queues else []

    @staticmethod
    def _series(buckets: list[Bucket], uncounted: Iterable[Ended], task: str, size: int) -> list[Bucket]:
        more: dict[int, list[Bucket]] = {}
        for ended in uncounted:
            if task in ("", counted_name(ended.task)):
                more.setdefault(ended.ended_ms // size * size, []).append(ended.as_bucket())
        return [
            replace(combined([bucket, *more[bucket.start_ms]]), start_ms=bucket.start_ms)
            if bucket.start_ms in more
            else bucket
            for bucket in buckets
        ]


def counted_name(task: str) -> str:
    """Return the name that a task's counters bear."""
    return task or "unnamed"  # the empty name is the whole queue's


def read_bucket(fields: Mapping[bytes, bytes], start_ms: int) -> Bucket:
    """Return a bucket from its hash."""
    if not fields:
        return Bucket(start_ms)  # most minutes of most tasks
    counts: dict[str, int] = {}
    wait, run = list(EMPTY), list(EMPTY)
    errors: dict[str, int] = {}
    last_seen: dict[str, int] = {}
    for name, value in fields.items():
        text, number = name.decode("utf-8", "replace"), int(value)
        if text[0] == "!":
            errors[text[1:]] = number
        elif text[0] == "@":
            last_seen[text[1:]] = number
        elif text[1:].isdigit():
            (wait if text[0] == "w" else run)[int(text[1:]) - 1] = number
        else:
            counts[text] = number
    return Bucket(
        start_ms=start_ms,
        run_ms=counts.get("run_us", 0) / 1000,
        wait=tuple(wait),
        run=tuple(run),
        errors=errors,
        last_seen_ms=last_seen,
        **{name: counts.get(name, 0) for name in (*_COUNTS, "wait_ms")},
    )


def read_ended(queue: str, line: bytes) -> Ended:
    """Return an attempt from its line."""
    ended, outcome, run, wait, org, resource, task, task_id, _, claimed, deliveries, attempt, _, *told = (
        line.decode("utf-8", "replace").split("\t")
    )
    return Ended(
        int(ended),
        queue,
        org,
        resource,
        task,
        task_id,
        outcome,
        int(wait),
        float(run),
        int(claimed),
        int(deliveries),
        int(attempt) + 1,
        told[0] if told else "",
        " ".join(told[1:]),
    )
