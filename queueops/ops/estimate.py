"""When a waiting job will start, as far as anybody can tell, and what that rests on."""

from __future__ import annotations

from dataclasses import dataclass

from queueops.engine.job_types import JobSnapshot

__all__ = ["Estimate", "estimate", "span"]

#: Assumed for a task that nobody has measured: what the broker charges for it, too.
_UNKNOWN_MS = 100.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """`seconds` until the start, None when nobody can say; `basis` says in words what it was made of."""

    seconds: float | None
    basis: str

    def __str__(self) -> str:
        return self.basis if self.seconds is None else f"about {span(self.seconds)}: {self.basis}"


def estimate(job: JobSnapshot) -> Estimate:
    """Guess when the job starts if nothing changes: no other jobs, workers, limits or pauses.

    The guess takes what its org is sure to get; where other orgs leave slots free it starts earlier.
    """
    if job.state == "leased":
        return Estimate(0.0, "a worker has it")
    if job.state == "blocked":
        if job.held:
            return Estimate(None, "somebody holds it until it is released")
        return Estimate(None, "it waits for other jobs, and nobody knows when they end")
    if job.state == "scheduled":
        return Estimate(
            max(0, job.at_ms - job.now_ms) / 1000, "it waits for its time, then it joins its lane"
        )
    if job.state != "ready":
        return Estimate(None, "it has no place; the doctor mends that")
    for gate in job.gates:
        if gate.closed and gate.name == "pause" and not gate.until_ms:
            return Estimate(None, f"its {gate.subject} is paused until somebody resumes it")
    if not job.slots:
        return Estimate(None, "no worker serves its queue")
    if job.cap == 0 or job.concurrency == 0:
        return Estimate(None, "its cap lets no job run")
    waits = (_by_work(job), _by_rate(job), _by_gates(job))
    return max((wait for wait in waits if wait), key=lambda wait: wait.seconds or 0)


def _by_work(job: JobSnapshot) -> Estimate:
    slots = float(min(job.slots, job.concurrency or job.slots))
    active = job.active_weight + (0.0 if job.own_weight else job.weight)
    mine = slots * job.weight / active
    told = (
        f"{_part(job.weight, active)} of {slots:g} slots" if active > job.weight else f"all {slots:g} slots"
    )
    if job.cap is not None and job.cap < mine:
        mine, told = float(job.cap), f"{job.cap} of {slots:g} slots by its cap"
    before = (job.place or 0) + job.before_elsewhere
    mean_ms = _UNKNOWN_MS if job.mean_ms is None else job.mean_ms
    # Where all of its org's slots are taken, one of them has to be freed even for the first job of the lane.
    turns = before + (1 if job.in_flight >= mine else 0)
    known = f"mean run {mean_ms:,.0f} ms" + (
        "" if job.mean_ms is not None else " (assumed: not measured yet)"
    )
    jobs = f"{before:,} job{'' if before == 1 else 's'} before it in its lane"
    return Estimate(turns * mean_ms / 1000 / mine, f"{jobs}, its org gets {told}, {known}")


def _by_rate(job: JobSnapshot) -> Estimate | None:
    if job.rate_interval_us is None:
        return None
    before = (job.place or 0) + job.before_elsewhere
    missing = max(0, before + 1 - (job.rate_left or 0))
    rate = f"{60_000_000 / job.rate_interval_us:,.4g} a minute"
    return Estimate(
        missing * job.rate_interval_us / 1e6,
        f"{before:,} job{'' if before == 1 else 's'} before it in its lane, its org starts {rate}",
    )


def _by_gates(job: JobSnapshot) -> Estimate | None:
    closed = [gate for gate in job.gates if gate.closed and gate.until_ms]
    if not closed:
        return None
    last = max(closed, key=lambda gate: gate.until_ms)
    wait = max(0, last.until_ms - job.now_ms) / 1000
    return Estimate(wait, f"{last.name} of its {last.subject} opens then")


def _part(weight: float, active: float) -> str:
    return f"1/{active / weight:.3g}" if active >= 2 * weight else f"{weight / active:.0%}"


def span(seconds: float) -> str:
    """A length of time as people say it: "0.4 s", "40 s", "12 min", "3 h", "2 days"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, length, until in (("s", 1, 120), ("min", 60, 120 * 60), ("h", 3600, 48 * 3600)):
        if seconds < until:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"
