"""Every metric: its name, type, labels, and what it tells an operator. docs/metrics.md lists the same, by a
test.

Names that the documents of the systems before this one used are kept as they are; all others begin with
`queueops_`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["FAMILIES", "Family", "markdown"]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. A counter's name here has no `_total`, which its samples have."""

    type: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str


_QUEUE = ("queue",)
_TASK = ("queue", "task")
_WORKER = ("worker_name",)

FAMILIES: Mapping[str, Family] = {
    # The scrape itself
    "queueops_up": Family(
        "gauge", (), "1 when the broker answered; 0, and nothing else of it, when it did not."
    ),
    "queueops_database_up": Family(
        "gauge", (), "1 when the database answered; dead letters and schedules are absent when it did not."
    ),
    "queueops_scrape_duration_seconds": Family("gauge", (), "How long reading all of this took."),
    "queueops_info": Family("gauge", ("version",), "1, with the version of queueops that answered."),
    # What there is now
    "queue_depth": Family(
        "gauge",
        ("queue", "state"),
        "Jobs by state: ready (throttled ones are among them), leased (in flight), scheduled, blocked; "
        "dead are letters "
        "that nobody has decided about.",
    ),
    "queueops_throttled_jobs": Family(
        "gauge",
        ("queue", "gate"),
        "Ready jobs that a closed gate keeps waiting, by gate. More workers do not help these.",
    ),
    "queueops_ready_jobs": Family(
        "gauge",
        ("queue", "priority"),
        "Ready jobs by priority, 0 is soonest; of more than 500 told from a sample of 500.",
    ),
    "queueops_retrying_jobs": Family(
        "gauge", _QUEUE, "Scheduled jobs whose next attempt is not their first."
    ),
    "queueops_past_deadline_jobs": Family("gauge", _QUEUE, "Jobs that wait and whose deadline has passed."),
    "queueops_oldest_wait_seconds": Family(
        "gauge", _QUEUE, "How long the oldest ready job has been ready; absent when none is."
    ),
    "queueops_waiting_orgs": Family("gauge", _QUEUE, "Orgs with ready jobs."),
    "queueops_paused": Family("gauge", _QUEUE, "1 while a person has paused the queue."),
    "queueops_concurrency_limit": Family(
        "gauge", _QUEUE, "Jobs of the queue that may run at once; absent without a limit."
    ),
    # What has happened since ever
    "queueops_jobs": Family(
        "counter",
        ("queue", "verb"),
        "Jobs of the queue by what was done with them: enqueued, claimed, succeeded, dead, retried, "
        "cancelled, lost (with "
        "their worker), adopted (from stock Celery), existing (publishes answered by the job with their "
        "unique key).",
    ),
    "queue_job": Family(
        "counter",
        ("queue", "task", "status"),
        "Attempts that ended, by task and how: succeeded, dead (a dead letter), retried, cancelled, lost "
        "(with its worker).",
    ),
    "queue_retry": Family("counter", _TASK, "Attempts that another attempt follows."),
    "queueops_failures": Family(
        "counter",
        ("queue", "task", "error"),
        "Attempts that ended in an error, by its class; retried ones are among them.",
    ),
    "queueops_leases_lost": Family(
        "counter", _QUEUE, "Leases that expired: their workers were killed, frozen or cut off."
    ),
    "queueops_stale_settles": Family(
        "counter",
        (),
        "Ends of runs that were told too late: the lease was lost, and the job had gone to somebody else.",
    ),
    "queue_wait_seconds": Family("histogram", _TASK, "From ready to claimed, of attempts that ended."),
    "queue_run_seconds": Family("histogram", _TASK, "Time in the task's body, of attempts that ran."),
    "queue_latency_seconds": Family(
        "gauge",
        ("queue", "priority", "percentile"),
        "From ready to claimed by priority, of the queue's latest 2,000 attempts.",
    ),
    # Workers
    "workers_active": Family("gauge", _QUEUE, "Living workers that serve the queue."),
    "queueops_slots": Family(
        "gauge",
        _QUEUE,
        "Jobs that the queue's living workers take at once; one that serves several queues counts in each.",
    ),
    "queueops_worker_slots": Family(
        "gauge", _WORKER, "Jobs that the worker takes at once; 0 while it is quiet or stopping."
    ),
    "worker_jobs_processing": Family(
        "gauge", _WORKER, "Jobs that the worker holds: what runs, and what it claimed ahead."
    ),
    "queueops_worker_memory_bytes": Family(
        "gauge", _WORKER, "Resident memory of the worker and its children."
    ),
    # Resources
    "queueops_resources": Family(
        "gauge",
        ("state",),
        "Resources by the state of their breaker: closed, open, half_open; of the first 2,000.",
    ),
    "queueops_breaker_state": Family(
        "gauge",
        ("resource", "state"),
        "1 for the state that the resource's breaker is in. Of 100 resources at most: those not closed, "
        "then the busiest.",
    ),
    "queueops_resource_jobs": Family(
        "gauge", ("resource",), "Jobs in flight that use the resource; of the same resources."
    ),
    # Fairness as a service level
    "queueops_quiet_slowdown": Family(
        "gauge",
        _QUEUE,
        "How many times longer jobs of orgs that ask for little took than alone, 95th percentile of the "
        "last 5 minutes; 1 is "
        "perfect.",
    ),
    "queueops_quiet_orgs": Family("gauge", _QUEUE, "Orgs that the slowdown was told from."),
    "queueops_share_error": Family(
        "gauge",
        _QUEUE,
        "Largest relative difference between what a backlogged org got and its weight's share, last 5 "
        "minutes; 0 is perfect.",
    ),
    "queueops_backlogged_orgs": Family("gauge", _QUEUE, "Orgs that the share error was told from."),
    "queueops_idle_slots_while_claimable": Family(
        "gauge",
        _QUEUE,
        "Slots that hold no job though one could be claimed. Above 0 for a minute is a fault.",
    ),
    "queueops_org_ready_jobs": Family(
        "gauge",
        ("queue", "org"),
        "Ready jobs of the 20 orgs with most of them, and of all others together (other).",
    ),
    "queueops_org_share": Family(
        "gauge",
        ("queue", "org"),
        "Part of the run time of the queue's latest 2,000 attempts, 0 to 1; of the same orgs.",
    ),
    "queueops_org_wait_seconds": Family(
        "gauge",
        ("queue", "org"),
        "Mean from ready to claimed in the queue's latest 2,000 attempts; of the same orgs.",
    ),
    # Schedules, letters on their way, the server
    "queueops_schedules": Family("gauge", ("enabled",), "Entries of the schedule."),
    "queueops_schedule_led": Family("gauge", (), "1 while a beat holds the lease to send what is due."),
    "queueops_schedule_due_timestamp_seconds": Family(
        "gauge", ("schedule",), "When the latest job of the schedule was due; of 100 schedules at most."
    ),
    "queueops_unsaved_letters": Family(
        "gauge", (), "Dead jobs that are not yet rows of the database; it grows while the database is away."
    ),
    "queueops_broker_memory_bytes": Family("gauge", (), "Memory that the broker's server uses."),
    "queueops_broker_memory_limit_bytes": Family("gauge", (), "Its maxmemory; 0 is none."),
}


def markdown() -> str:
    """Return the table of docs/metrics.md (`python -m queueops.metrics.families` prints it)."""
    lines = ["| metric | type | labels | what it says |", "|---|---|---|---|"]
    for name, family in FAMILIES.items():
        shown = f"{name}_total" if family.type == "counter" else name
        lines.append(f"| `{shown}` | {family.type} | {', '.join(family.labels)} | {family.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
