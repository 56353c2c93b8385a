"""The soak sees when an org has more in hand than it may."""

from __future__ import annotations

from tests.soak.caps import over_cap
from tests.soak.faults import Fault, Kind
from tests.soak.jobs import Planned
from tests.soak.record import Run
from tests.soak.terms import CAPPED_ORG


def test_three_at_once_of_two_are_seen_and_what_lost_its_lease_is_not_counted() -> None:
    jobs = [Planned(f"j{n}", "short", f"id{n}", "bulk", CAPPED_ORG, 1.0) for n in range(3)]
    runs = {
        job.name: [Run(job.name, 0, "t", f"w{n}", 1, began=100.0 + n, ended=110.0 + n, outcome="end")]
        for n, job in enumerate(jobs)
    }
    assert len(over_cap(jobs, runs, [])) == 1
    assert not over_cap(jobs, runs, [Fault(Kind.STOPPED, 101, 109, ("w0",))])
    assert not over_cap(jobs[:2], runs, [])
    runs["j1"].append(Run("j1", 0, "u", "w5", 1, began=120.0, ended=121.0, outcome="end"))
    assert not over_cap(jobs, runs, []), "one of them was run again: its lease had ended"
