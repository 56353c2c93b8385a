"""Whether the capped org ever had more jobs in hand than it may, by what ran and not by what was counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.soak.faults import Fault, Kind
from tests.soak.jobs import Planned
from tests.soak.record import Run
from tests.soak.terms import CAP, CAPPED_ORG, LEASE_SECONDS, QUEUES

#: After one of these a run may go on without its lease, and its slot be another's.
LEASE_ENDING = frozenset({Kind.STOPPED, Kind.CUT_OFF, Kind.PROMOTED, Kind.MACHINE_STOOD})


def over_cap(
    jobs: Sequence[Planned], runs: Mapping[str, Sequence[Run]], faults: Sequence[Fault]
) -> list[str]:
    """Return the moments at which more than CAP runs that surely held their leases went on side by side."""
    found: list[str] = []
    for queue in QUEUES:
        sure = [
            run
            for job in jobs
            if job.org == CAPPED_ORG and job.queue == queue
            for run in runs.get(job.name, ())
            if held_its_lease(run, runs[job.name], faults)
        ]
        for run in sure:
            beside = [other.job for other in sure if other.began <= run.began < other.ended]
            if len(beside) > CAP:
                found.append(
                    f"{len(beside)} jobs of {CAPPED_ORG} in {queue} at {run.began:.2f}: {', '.join(beside)}"
                )
    return found


def held_its_lease(run: Run, runs: Sequence[Run], faults: Sequence[Fault]) -> bool:
    """Whether nothing says that the run may have lost its lease before its end."""
    if not run.ended or any(again.attempt == run.attempt and again.began > run.began for again in runs):
        return False
    return not any(
        fault.kind in LEASE_ENDING
        and fault.hit(run.worker)
        and fault.began < run.ended + LEASE_SECONDS
        and fault.until(run.ended) > run.began - LEASE_SECONDS
        for fault in faults
    )
