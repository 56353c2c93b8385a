"""When a waiting job will start, as far as anybody can tell, and what that rests on."""

from __future__ import annotations

from dataclasses import dataclass

from queueops.engine.job_types import JobSnapshot, Rate

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
        if gate.closed and gate.name == "resource_breaker" and not gate.until_ms:
            return Estimate(None, "the breaker of its resource waits for its probes, or for a person")
    if not job.slots:
        return Estimate(None, "no worker serves its queue")
    if 0 in (job.cap, job.concurrency, job.resource_cap):
        return Estimate(None, "its cap lets no job run")
    waits = [_by_work(job), *(_by_rate(job, rate) for rate in job.rates), *_by_gates(job)]
    return max(waits, key=lambda wait: wait.seconds or 0)


def _by_work(job: JobSnapshot) -> Estimate:
    slots = float(min(job.slots, job.concurrency or job.slots))
    active = job.active_weight + (0.0 if job.own_weight else job.weight)
    mine = slots * job.weight / active
    told = (
        f"{_part(job.weight, active)} of {slots:g} slots" if active > job.weight else f"all {slots:g} slots"
    )
    if job.cap is not None and job.cap < mine:
        mine, told = float(job.cap), f"{job.cap} of {slots:g} slots by its cap"
    if job.resource_cap is not None and job.resource_cap / _sharers(job) < mine:
        mine = job.resource_cap / _sharers(job)
        told = f"{_of_resource(job)} the {job.resource_cap} slots of its resource"
    before = (job.place or 0) + job.before_elsewhere
    mean_ms = _UNKNOWN_MS if job.mean_ms is None else job.mean_ms
    # Where all of its org's slots are taken, one of them has to be freed even for the first job of the lane.
    turns = before + (1 if job.in_flight >= mine else 0)
    known = f"mean run {mean_ms:,.0f} ms" + (
        "" if job.mean_ms is not None else " (assumed: not measured yet)"
    )
    return Estimate(turns * mean_ms / 1000 / mine, f"{_jobs(before)}, its org gets {told}, {known}")


def _by_rate(job: JobSnapshot, rate: Rate) -> Estimate:
    before = (job.place or 0) + job.before_elsewhere
    told = f"starts {60_000_000 / rate.interval_us:,.4g} a minute"
    if rate.gate == "org_rate":
        missing = max(0, before + 1 - rate.left)
        return Estimate(missing * rate.interval_us / 1e6, f"{_jobs(before)}, its org {told}")
    # The orgs that wait for the resource take turns.
    missing = max(0, (before + 1) * _sharers(job) - rate.left)
    told = f"its org gets {_of_resource(job)} its resource's turns; that {told}"
    return Estimate(missing * rate.interval_us / 1e6, f"{_jobs(before)}, {told}")


def _sharers(job: JobSnapshot) -> int:
    """Orgs that wait for the resource of the job, its own among them."""
    return max(1, (job.ring_size or 0) + (1 if job.ring_place is None else 0))


def _of_resource(job: JobSnapshot) -> str:
    return f"1/{_sharers(job)} of" if _sharers(job) > 1 else "all"


def _by_gates(job: JobSnapshot) -> list[Estimate]:
    return [
        Estimate(max(0, gate.until_ms - job.now_ms) / 1000, f"{gate.name} of its {gate.subject} opens then")
        for gate in job.gates
        if gate.closed and gate.until_ms
    ]


def _jobs(number: int) -> str:
    return f"{number:,} job{'' if number == 1 else 's'} before it in its lane"


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
