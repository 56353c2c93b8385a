"""The verdict: what was lost, and which second runs a recorded fault explains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tests.soak.faults import Fault, Kind
from tests.soak.jobs import Planned
from tests.soak.record import Run
from tests.soak.terms import ATTEMPTS, HEARTBEAT_SECONDS, LEASE_SECONDS

#: An end is settled within this, when nothing is wrong: a fault later than that has nothing to do with it.
SETTLED_SECONDS = 5.0
#: Cut off for this long, a worker may have lost a lease: its last renewal was up to a heartbeat earlier, and
#: its way back takes a moment.
LAPSE_SECONDS = LEASE_SECONDS - HEARTBEAT_SECONDS - 1
BACK_SECONDS = 5.0

REASONS = {
    Kind.WORKER_KILLED: "worker killed",
    Kind.CHILD_KILLED: "pool process killed",
    Kind.STOPPED: "stopped or cut off past its lease",
    Kind.CUT_OFF: "stopped or cut off past its lease",
    Kind.PROMOTED: "promoted replica had not received the claim or the end",
    Kind.DEPLOYED: "stopped while the broker was away for a lease's length",
    Kind.MACHINE_STOOD: "the machine stood still",
}
#: An attempt that failed while its next one could not be published is delivered again.
NOT_RETRIED = "failed while the broker was away"
#: While one of these lasts, no end reaches the broker.
SILENT = frozenset(
    {Kind.STOPPED, Kind.CUT_OFF, Kind.ALL_CUT_OFF, Kind.BROKER_STOPPED, Kind.BROKER_KILLED, Kind.PROMOTED}
)
#: The one reason for which also a job that must not run twice may do so: the record of its run was lost.
RECORD_LOST = REASONS[Kind.PROMOTED]


@dataclass
class Verdict:
    """The counts of a soak, and its offenders with their history."""

    counts: Counter[str] = field(default_factory=Counter)
    twice: Counter[str] = field(default_factory=Counter)
    problems: dict[str, list[str]] = field(default_factory=dict)

    def offend(self, job: Planned, what: str, runs: Sequence[Run]) -> None:
        """Write down an offender: by task id, with all its runs."""
        history = self.problems.setdefault(f"{job.task_id} {job.name}", [])
        history.append(f"{what}; published {job.published:.2f}{', confirmed' if job.confirmed else ''}")
        history += [str(run) for run in runs]


def judge(
    jobs: Sequence[Planned],
    runs: Mapping[str, Sequence[Run]],
    faults: Sequence[Fault],
    letters: Collection[str],
    *,
    has_letters: bool = True,
) -> Verdict:
    """Compare what was confirmed with what happened.

    ``letters``: task ids of the dead letters. ``has_letters`` is False for stock Celery, where a job is dead
    when its last attempt has failed.
    """
    verdict = Verdict()
    for job in jobs:
        own = runs.get(job.name, ())
        end = _end_of(job, own, letters, has_letters)
        if job.cancelled and has_letters:
            _look_after_cancel(verdict, job, own, faults)
        if job.confirmed:
            verdict.counts["enqueued"] += 1
            verdict.counts[end] += 1
            if end == "lost":
                verdict.offend(job, "lost", own)
        else:
            verdict.counts["not confirmed"] += 1
            verdict.counts["not confirmed, of which ran"] += bool(own)
        _count_seconds(verdict, job, own, faults)
    return verdict


def _end_of(job: Planned, runs: Sequence[Run], letters: Collection[str], has_letters: bool) -> str:
    if has_letters and job.task_id in letters:
        return "dead"
    if any(run.outcome == "end" for run in runs):
        return "succeeded"
    if not has_letters and any(run.outcome == "error" and run.attempt == ATTEMPTS - 1 for run in runs):
        return "dead"
    return "cancelled" if job.may_be_cancelled else "lost"


def _look_after_cancel(verdict: Verdict, job: Planned, runs: Sequence[Run], faults: Sequence[Fault]) -> None:
    late = [run for run in runs if run.began > job.cancelled + 1]
    if not late:
        return
    verdict.counts["ran though cancelled"] += 1
    forgotten = any(
        fault.kind == Kind.PROMOTED and fault.began >= job.cancelled - 1 and fault.began <= late[0].began
        for fault in faults
    )
    if not forgotten:
        verdict.offend(job, f"ran though it was cancelled at {job.cancelled:.2f}", runs)


def _count_seconds(verdict: Verdict, job: Planned, runs: Sequence[Run], faults: Sequence[Fault]) -> None:
    verdict.counts["runs"] += len(runs)
    for at, again in enumerate(runs):
        earlier = [run for run in runs[:at] if run.attempt == again.attempt]
        if not earlier:
            continue
        verdict.counts["run twice"] += 1
        reason = explain(earlier[-1], again, faults)
        if again.token and any(run.token == again.token for run in earlier):
            reason = None  # one delivery, started twice: no fault excuses that
        if job.once:
            verdict.counts["run twice that must not"] += 1
            reason = reason if reason == RECORD_LOST else None
        if reason is None:
            verdict.twice["unexplained"] += 1
            verdict.offend(job, f"attempt {again.attempt} ran again without a fault that explains it", runs)
        else:
            verdict.twice[reason] += 1


def explain(first: Run, again: Run, faults: Sequence[Fault]) -> str | None:
    """Return why ``first``, already run, was run ``again``, or None when no fault accounts for it."""
    # A process that stood still with a job in its pool's queue starts it when another has long run it: the
    # lease that was lost is the one that was claimed first.
    first, again = sorted((first, again), key=lambda run: run.claimed or run.began)
    for kind, reason in REASONS.items():
        if any(fault.kind == kind and accounts_for(fault, first, again, faults) for fault in faults):
            return reason
    if first.outcome == "error" and any(silenced(fault, first) for fault in faults):
        return NOT_RETRIED
    return None


def silenced(fault: Fault, run: Run) -> bool:
    """Whether this fault kept ``run``, which failed, from publishing its next attempt."""
    if (fault.kind not in SILENT and fault.kind != Kind.CONNECTION_CUT) or not fault.hit(run.worker):
        return False
    return fault.began <= run.ended + SETTLED_SECONDS and fault.until(run.ended + 1) >= run.ended - 1


def settled_by(run: Run, faults: Sequence[Fault]) -> float:
    """Return the time by which the broker knew the end of ``run``; for a run without one that is never."""
    if not run.ended:
        return float("inf")
    at = run.ended + SETTLED_SECONDS
    for fault in sorted(faults, key=lambda fault: fault.began):
        if (
            fault.kind in SILENT
            and fault.hit(run.worker)
            and (not fault.ended or run.ended - 1 <= fault.ended)
            and fault.began <= at
        ):
            at = max(at, (fault.ended or at) + BACK_SECONDS + SETTLED_SECONDS)
    return at


def accounts_for(fault: Fault, first: Run, again: Run, faults: Sequence[Fault]) -> bool:
    """Whether this fault, which hit the worker of ``first`` while the broker had not yet its end, let the
    job run ``again``.
    """
    if not fault.hit(first.worker) or fault.began > again.began:
        return False
    if fault.kind == Kind.CHILD_KILLED and fault.pid != first.pid:
        return False
    until = fault.until(again.began)
    back = BACK_SECONDS if fault.kind in (Kind.STOPPED, Kind.CUT_OFF) else 0.0
    # A claim that was lost with a primary was made before the promotion, its run may begin after it.
    if until + back < (first.claimed or first.began) or fault.began > settled_by(first, faults):
        return False
    if fault.kind in (Kind.STOPPED, Kind.CUT_OFF):
        return until - fault.began >= LAPSE_SECONDS
    if fault.kind == Kind.DEPLOYED:
        return any(was_away(other, fault, first.worker) for other in faults)
    return True


def was_away(silence: Fault, deploy: Fault, worker: str) -> bool:
    """Whether the broker was away for this worker when it had ended, and as long as it waits for it."""
    if silence.kind not in SILENT or not silence.hit(worker):
        return False
    end = deploy.ended or silence.began
    return silence.began <= end <= silence.until(end) + 1 and end - silence.began >= LEASE_SECONDS - 1
