"""A job's life as a list of events, whether it is over or not."""

from __future__ import annotations

from collections.abc import Iterator

from queueops.admin.pretty import Event, short, with_pauses
from queueops.ops.job_info import JobInfo
from queueops.ops.storable import at

__all__ = ["timeline"]

_STATES = {
    "ready": "Waits for its turn",
    "scheduled": "Waits for its time",
    "blocked": "Waits for others, or is held",
    "astray": "Has lost its place",
}


def timeline(job: JobInfo) -> list[Event]:
    """First enqueued, each attempt that failed, and what it does now or what became of it; oldest first."""
    return list(with_pauses(_events(job)))


def _events(job: JobInfo) -> Iterator[Event]:
    yield Event("start", "Enqueued", job.created_at)
    for place, error in enumerate(job.errors, start=1):
        last = job.state == "dead" and place == len(job.errors)
        yield Event(
            "dead" if last else "attempt",
            f"Attempt {error.get('n', place)}: {error.get('error') or 'ended'}"
            + (" – gave up" if last else ""),
            job.ended_at if last else at(error.get("at")),
            short(str(error.get("message") or ""), 300),
            str(error.get("worker") or ""),
        )
    if job.state == "leased":
        yield Event("running", f"Attempt {job.attempt} runs", job.claimed_at, worker=job.worker)
    elif job.state == "scheduled" and job.attempt > 1:
        yield Event("next", f"Attempt {job.attempt} is due", job.due_at)
    elif job.state in _STATES:
        yield Event("next", _STATES[job.state], job.due_at)
    elif job.state != "dead" or not job.errors:
        kind = "replayed" if job.state == "succeeded" else "discarded"
        yield Event(kind, job.state.capitalize(), job.ended_at, worker=job.worker)
