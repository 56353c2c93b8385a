"""When a job will start: what the estimate says, and that it says what it rests on."""

from __future__ import annotations

from typing import Any

import pytest

from queueops.engine.job_types import GateState, JobSnapshot, Rate
from queueops.engine.rules.envelope import Head
from queueops.engine.rules.priority import Priority, effective, patience_ms
from queueops.ops.estimate import estimate, span

HEAD = Head(0, "acme", "", "t", "id", 1000, 0, False, 0, 0, 0)
MINUTE = 60_000


def job(**given: Any) -> JobSnapshot:
    known: dict[str, Any] = {
        "task_id": "id",
        "now_ms": 1_000_000,
        "state": "ready",
        "queue": "standard",
        "tag": "t",
        "head": HEAD,
        "message": "",
        "at_ms": 1_000_000,
        "lease": None,
        "gates": (),
        "closed_by": "",
        "looked_at_ms": None,
        "place": 120,
        "lane_size": 200,
        "before_elsewhere": 0,
        "ring_place": 0,
        "ring_size": 3,
        "in_flight": 1,
        "cap": None,
        "slots": 8,
        "concurrency": None,
        "weight": 1.0,
        "own_weight": 1.0,
        "active_weight": 3.0,
        "mean_ms": 900.0,
    }
    return JobSnapshot(**{**known, **given})


def test_jobs_before_it_the_share_of_its_org_and_the_mean_run() -> None:
    told = estimate(job())
    assert told.seconds == pytest.approx(120 * 0.9 / (8 / 3))
    assert str(told) == (
        "about 40 s: 120 jobs before it in its lane, its org gets 1/3 of 8 slots, mean run 900 ms"
    )


@pytest.mark.parametrize(
    ("given", "seconds", "words"),
    [
        ({"active_weight": 1.0}, 13.5, "all 8 slots"),
        ({"own_weight": 0.0, "active_weight": 2.0}, 40.5, "1/3 of 8 slots"),
        ({"weight": 2.0, "own_weight": 2.0}, 20.25, "67% of 8 slots"),
        ({"cap": 2, "in_flight": 0}, 54.0, "2 of 8 slots by its cap"),
        ({"concurrency": 4, "active_weight": 1.0}, 27.0, "all 4 slots"),
        ({"mean_ms": None, "active_weight": 1.0}, 1.5, "assumed: not measured yet"),
        ({"place": 0, "before_elsewhere": 1, "active_weight": 1.0}, 0.1125, "1 job before it"),
        ({"rates": (Rate("org_rate", 1, 1e6),)}, 120.0, "its org starts 60 a minute"),
        (
            {"gates": (GateState("org_rate", "org", True, 1_090_000),)},
            90.0,
            "org_rate of its org opens then",
        ),
        (
            {"rates": (Rate("org_rate", 1, 1e6), Rate("resource_rate", 0, 3e6))},
            3 * 121 * 3.0,
            "its org gets 1/3 of its resource's turns; that starts 20 a minute",
        ),
        ({"rates": (Rate("resource_rate", 1, 3e6),), "ring_size": 1}, 360.0, "gets all its resource's turns"),
        ({"resource_cap": 1, "in_flight": 0}, 324.0, "1/3 of the 1 slots of its resource"),
        ({"state": "scheduled", "at_ms": 1_005_000}, 5.0, "waits for its time"),
        ({"state": "leased"}, 0.0, "a worker has it"),
    ],
)
def test_what_else_counts(given: dict[str, Any], seconds: float, words: str) -> None:
    told = estimate(job(**given))
    assert told.seconds == pytest.approx(seconds)
    assert words in told.basis


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"slots": 0}, "no worker serves its queue"),
        ({"gates": (GateState("pause", "queue", True),)}, "until somebody resumes it"),
        ({"state": "blocked"}, "nobody knows"),
        ({"cap": 0}, "lets no job run"),
        ({"gates": (GateState("resource_breaker", "resource", True),)}, "waits for its probes"),
        ({"state": "blocked", "held": True}, "until it is released"),
        ({"state": "astray"}, "doctor"),
    ],
)
def test_where_nobody_can_tell_it_says_so(given: dict[str, Any], words: str) -> None:
    told = estimate(job(**given))
    assert told.seconds is None
    assert words in str(told)


def test_spans() -> None:
    given = (0.44, 40, 121, 7300, 200_000)
    assert [span(seconds) for seconds in given] == ["0.4 s", "40 s", "2 min", "2 h", "2 days"]


def test_a_job_that_has_waited_stands_beside_fresh_jobs_of_a_sooner_priority() -> None:
    fresh = patience_ms(Priority.LOW)
    assert effective(fresh) == Priority.LOW
    assert effective(fresh - 30 * MINUTE) == Priority.NORMAL
    assert effective(fresh - 45 * MINUTE) == Priority.HIGH
    assert effective(fresh - 50 * MINUTE) == effective(-1) == Priority.CRITICAL
    assert effective(10**12) == Priority.BULK
    assert effective(500, {0: 0, 10: 1000}) == 5
