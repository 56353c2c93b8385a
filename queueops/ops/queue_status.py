"""What a status says of a queue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from queueops.engine.types import Pause
from queueops.ops.health import Health

__all__ = ["Overview", "QueueStatus"]


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
