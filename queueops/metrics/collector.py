"""Turns the figures into metrics. Nothing is counted or kept here: whoever asks, reads the broker."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from queueops import __version__
from queueops.engine.history import Bucket
from queueops.engine.resource_verbs import BreakerState
from queueops.engine.rules.histogram import BOUNDS_MS
from queueops.errors import BrokerUnavailable
from queueops.metrics.families import FAMILIES
from queueops.ops.figures import Figures, QueueFigures, figures
from queueops.ops.permissions import Actor

__all__ = ["FiguresCollector"]

#: Resources with series of their own, and series of one queue's errors, at most.
RESOURCES = 100
ERRORS = 500
PERCENTILES = (50, 95, 99)

_LE = [*(str(ms / 1000) for ms in BOUNDS_MS), "+Inf"]
_STATUSES = ("succeeded", "dead", "retried", "cancelled", "lost")


class FiguresCollector(Collector):
    """Reads the figures at each scrape. A broker that is away is `queueops_up 0` and nothing else of it."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry that wants to know the names must not have the broker asked for them."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric that has a sample."""
        began = time.perf_counter()
        made = _Made()
        made.add("queueops_info", (__version__,), 1)
        try:
            found = figures(self.actor)
        except BrokerUnavailable:
            made.add("queueops_up", (), 0)
        else:
            made.add("queueops_up", (), 1)
            _tell(made, found)
        made.add("queueops_scrape_duration_seconds", (), time.perf_counter() - began)
        yield from made.metrics()


class _Made:
    """Metrics that have samples, in the order of their declaration."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def add(self, name: str, labels: Sequence[str], value: float | None) -> None:
        if value is None:
            return
        metric = self._metric(name)
        metric.add_metric(list(labels), value)  # type: ignore[attr-defined]

    def add_histogram(self, name: str, labels: Sequence[str], counts: Sequence[int], total_ms: float) -> None:
        buckets = list(zip(_LE, accumulate(counts), strict=True))
        self._metric(name).add_metric(list(labels), buckets, total_ms / 1000)  # type: ignore[attr-defined]

    def metrics(self) -> Iterator[Metric]:
        return (self._metrics[name] for name in FAMILIES if name in self._metrics)

    def _metric(self, name: str) -> Metric:
        metric = self._metrics.get(name)
        if metric is None:
            family = FAMILIES[name]
            metric = self._metrics[name] = _KINDS[family.type](name, family.help, labels=family.labels)
        return metric


_KINDS = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily, "histogram": HistogramMetricFamily}


def _tell(made: _Made, found: Figures) -> None:
    made.add("queueops_database_up", (), found.database)
    for queue in found.queues:
        _tell_now(made, queue)
        _tell_ever(made, queue)
        _tell_fairness(made, queue)
    _tell_workers(made, found)
    _tell_resources(made, found)
    _tell_rest(made, found)


def _tell_now(made: _Made, one: QueueFigures) -> None:
    queue, seen = one.queue, one.snapshot
    states = {
        "ready": seen.ready,
        "leased": seen.leased,
        "scheduled": seen.scheduled,
        "blocked": seen.blocked,
        "dead": one.dead,
    }
    for state, number in states.items():
        made.add("queue_depth", (queue, state), number)
    for gate, number in sorted(one.throttled.items()):
        made.add("queueops_throttled_jobs", (queue, gate), number)
    for priority, number in one.waiting.priorities.items():
        made.add("queueops_ready_jobs", (queue, priority), number)
    oldest = one.waiting.oldest_ms
    made.add("queueops_retrying_jobs", (queue,), one.waiting.retrying)
    made.add("queueops_past_deadline_jobs", (queue,), one.waiting.past_deadline)
    made.add(
        "queueops_oldest_wait_seconds",
        (queue,),
        None if oldest is None else max(0.0, seen.now_ms - oldest) / 1000,
    )
    made.add("queueops_waiting_orgs", (queue,), seen.orgs_waiting)
    made.add("queueops_paused", (queue,), seen.paused is not None)
    made.add("queueops_concurrency_limit", (queue,), one.concurrency)
    made.add("workers_active", (queue,), len(one.workers))
    made.add("queueops_slots", (queue,), sum(worker.slots for worker in one.workers))


def _tell_ever(made: _Made, one: QueueFigures) -> None:
    queue, tally = one.queue, one.tally
    for verb, number in tally.totals.items():
        if not verb.endswith("_ms"):
            made.add("queueops_jobs", (queue, verb), number)
    made.add("queueops_leases_lost", (queue,), tally.totals["lost"])
    for task, ended in tally.tasks.items():
        for status in _STATUSES:
            made.add("queue_job", (queue, task, status), getattr(ended, status))
        made.add("queue_retry", (queue, task), ended.retried)
        made.add_histogram("queue_wait_seconds", (queue, task), ended.wait, ended.wait_ms)
        made.add_histogram("queue_run_seconds", (queue, task), ended.run, ended.run_ms)
    for (task, error), number in _errors(tally.tasks).items():
        made.add("queueops_failures", (queue, task, error), number)
    for priority, waits in one.waits.items():
        for percentile in PERCENTILES:
            place = min(len(waits) - 1, percentile * len(waits) // 100)
            made.add("queue_latency_seconds", (queue, str(priority), str(percentile)), waits[place] / 1000)


def _errors(tasks: Mapping[str, Bucket]) -> Mapping[tuple[str, str], int]:
    """By task and class; beyond the first ERRORS, in the order of their names, the task's others are one."""
    found: dict[tuple[str, str], int] = {}
    for task, ended in tasks.items():
        for error, number in sorted(ended.errors.items()):
            key = (task, error if len(found) < ERRORS else "other")
            found[key] = found.get(key, 0) + number
    return found


def _tell_fairness(made: _Made, one: QueueFigures) -> None:
    queue, level = one.queue, one.fairness
    made.add("queueops_quiet_slowdown", (queue,), level.quiet_slowdown)
    made.add("queueops_quiet_orgs", (queue,), level.quiet_orgs)
    made.add("queueops_share_error", (queue,), level.share_error)
    made.add("queueops_backlogged_orgs", (queue,), level.backlogged_orgs)
    made.add("queueops_idle_slots_while_claimable", (queue,), one.idle_slots)
    for org in one.orgs:
        made.add("queueops_org_ready_jobs", (queue, org.org), org.ready)
        made.add("queueops_org_share", (queue, org.org), org.share)
        made.add("queueops_org_wait_seconds", (queue, org.org), org.wait_seconds)


def _tell_workers(made: _Made, found: Figures) -> None:
    by_name: dict[str, list[int]] = {}
    for worker in found.workers:  # two processes may bear one name; a series must not come twice
        sums = by_name.setdefault(worker.node or worker.holder, [0, 0, 0])
        for place, number in enumerate((worker.slots, worker.leases, worker.memory_bytes or 0)):
            sums[place] += number
    for name, (slots, leases, memory) in sorted(by_name.items()):
        made.add("queueops_worker_slots", (name,), slots)
        made.add("worker_jobs_processing", (name,), leases)
        made.add("queueops_worker_memory_bytes", (name,), memory or None)


def _tell_resources(made: _Made, found: Figures) -> None:
    numbers: dict[BreakerState, int] = {"closed": 0, "open": 0, "half_open": 0}
    for now, _ in found.resources.values():
        numbers[now] += 1
    for state, number in numbers.items():
        made.add("queueops_resources", (state,), number)
    first = sorted(found.resources.items(), key=lambda item: (item[1][0] == "closed", -item[1][1], item[0]))
    for name, (now, jobs) in sorted(first[:RESOURCES]):
        for state in numbers:
            made.add("queueops_breaker_state", (name, state), state == now)
        made.add("queueops_resource_jobs", (name,), jobs)


def _tell_rest(made: _Made, found: Figures) -> None:
    if found.broker is not None:
        made.add("queueops_stale_settles", (), found.broker.stale_settles)
        made.add("queueops_unsaved_letters", (), found.broker.unsaved_letters)
        made.add("queueops_broker_memory_bytes", (), found.broker.used_memory)
        made.add("queueops_broker_memory_limit_bytes", (), found.broker.memory_limit)
    if found.schedules is not None:
        made.add("queueops_schedules", ("true",), found.schedules.enabled)
        made.add("queueops_schedules", ("false",), found.schedules.disabled)
        made.add("queueops_schedule_led", (), found.schedules.led)
        for name, due_ms in found.schedules.due_ms.items():
            made.add("queueops_schedule_due_timestamp_seconds", (name,), due_ms / 1000)
