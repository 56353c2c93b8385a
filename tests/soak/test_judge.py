"""The judge finds what is wrong, and excuses only what a fault explains."""

from __future__ import annotations

import pytest

from tests.soak.faults import Fault, Kind
from tests.soak.jobs import Planned
from tests.soak.judge import explain, judge
from tests.soak.record import Run, runs_of

NAP = 100.0


def job(**fields: object) -> Planned:
    known = {"name": "j", "kind": "short", "task_id": "id", "queue": "q", "org": "o", "seconds": 0.1}
    return Planned(**{**known, "confirmed": True, **fields})  # type: ignore[arg-type]


def run(began: float, ended: float = 0.0, *, worker: str = "w1", token: str = "t1", **fields: object) -> Run:
    outcome = "end" if ended else ""
    known = {"job": "j", "attempt": 0, "pid": 7, "outcome": outcome}
    return Run(token=token, worker=worker, began=began, ended=ended, **{**known, **fields})  # type: ignore[arg-type]


FIRST = run(NAP, NAP + 1)
AGAIN = run(NAP + 10, NAP + 11, worker="w2", token="t2")


def test_a_confirmed_job_without_an_end_is_lost() -> None:
    verdict = judge([job()], {}, [], ())
    assert verdict.counts["lost"] == 1
    assert verdict.problems


def test_a_job_that_was_never_confirmed_may_be_missing() -> None:
    verdict = judge([job(confirmed=False)], {}, [], ())
    assert not verdict.problems
    assert verdict.counts["not confirmed"] == 1


def test_a_dead_letter_is_an_end() -> None:
    verdict = judge([job()], {"j": [run(NAP, NAP + 1, outcome="error")]}, [], {"id"})
    assert (verdict.counts["dead"], verdict.counts["lost"]) == (1, 0)


def test_another_attempt_is_no_second_run() -> None:
    verdict = judge([job()], {"j": [FIRST, run(NAP + 2, NAP + 3, attempt=1)]}, [], ())
    assert verdict.counts["run twice"] == 0


def test_a_second_run_needs_a_fault() -> None:
    verdict = judge([job()], {"j": [FIRST, AGAIN]}, [], ())
    assert verdict.twice == {"unexplained": 1}
    assert len(verdict.problems) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(Kind.WORKER_KILLED, NAP + 0.5, NAP + 0.6, ("w1",)), "worker killed"),
        (Fault(Kind.WORKER_KILLED, NAP + 0.5, NAP + 0.6, ("w3",)), None),
        (Fault(Kind.WORKER_KILLED, NAP - 5, NAP - 4, ("w1",)), None),
        (Fault(Kind.WORKER_KILLED, NAP + 9, NAP + 9.1, ("w1",)), None),
        (Fault(Kind.CHILD_KILLED, NAP + 0.5, NAP + 0.5, ("w1",), pid=7), "pool process killed"),
        (Fault(Kind.CHILD_KILLED, NAP + 0.5, NAP + 0.5, ("w1",), pid=8), None),
        (Fault(Kind.STOPPED, NAP + 0.5, NAP + 8, ("w1",)), "stopped or cut off past its lease"),
        (Fault(Kind.CUT_OFF, NAP - 6, NAP + 0.5, ("w1",)), "stopped or cut off past its lease"),
        (Fault(Kind.CUT_OFF, NAP + 0.5, NAP + 1.5, ("w1",)), None),
        (Fault(Kind.PROMOTED, NAP + 1.5, NAP + 3), "promoted replica had not received the claim or the end"),
        (Fault(Kind.BROKER_KILLED, NAP + 0.5, NAP + 9), None),
        (Fault(Kind.CLOCK_STEPPED, NAP + 0.5, NAP + 0.6), None),
    ],
)
def test_only_a_fault_of_the_right_kind_place_and_time_explains(fault: Fault, reason: str | None) -> None:
    assert explain(FIRST, AGAIN, [fault]) == reason


def test_a_claim_that_was_lost_in_a_promotion_may_begin_to_run_after_it() -> None:
    promoted = Fault(Kind.PROMOTED, NAP - 2, NAP - 1)
    reason = "promoted replica had not received the claim or the end"
    assert explain(run(NAP, NAP + 1, claimed=NAP - 1.5), AGAIN, [promoted]) == reason
    assert explain(run(NAP, NAP + 1, claimed=NAP - 0.5), AGAIN, [promoted]) is None


def test_a_worker_that_stood_still_may_start_after_the_one_that_got_its_job() -> None:
    first = run(NAP, NAP + 1, claimed=NAP - 0.5, worker="w2", token="t2")
    late = run(NAP + 15, NAP + 16, claimed=NAP - 7)
    stopped = Fault(Kind.STOPPED, NAP - 6, NAP + 6, ("w1",))
    assert explain(first, late, [stopped]) == "stopped or cut off past its lease"
    assert explain(first, late, [Fault(Kind.STOPPED, NAP - 6, NAP + 6, ("w2",))]) is None
    assert explain(first, run(NAP + 15, NAP + 16, claimed=NAP + 14), [stopped]) is None


def test_an_end_that_could_not_be_told_may_be_lost_with_its_worker_later() -> None:
    away = Fault(Kind.BROKER_STOPPED, NAP + 0.5, NAP + 20)
    killed = Fault(Kind.WORKER_KILLED, NAP + 21, NAP + 21.1, ("w1",))
    late = run(NAP + 30, NAP + 31, worker="w2", token="t2")
    assert explain(FIRST, late, [away, killed]) == "worker killed"
    assert explain(FIRST, late, [killed]) is None


def test_a_failed_attempt_runs_again_when_its_retry_found_no_broker() -> None:
    failed = run(NAP, NAP + 1, outcome="error")
    again = run(NAP + 8, NAP + 9, worker="w2", token="t2")
    away = Fault(Kind.BROKER_KILLED, NAP + 0.5, NAP + 3)
    assert explain(failed, again, [away]) == "failed while the broker was away"
    assert explain(FIRST, again, [away]) is None, "its end waits until the broker is back"
    assert explain(failed, again, [Fault(Kind.BROKER_KILLED, NAP + 7, NAP + 8)]) is None


def test_a_deploy_explains_only_when_the_broker_was_away_as_long_as_a_worker_waits() -> None:
    deploy = Fault(Kind.DEPLOYED, NAP + 0.5, NAP + 8, ("w1",))
    long, short = Fault(Kind.BROKER_STOPPED, NAP, NAP + 9), Fault(Kind.BROKER_STOPPED, NAP, NAP + 3)
    assert explain(FIRST, AGAIN, [deploy, long]) == "stopped while the broker was away for a lease's length"
    assert explain(FIRST, AGAIN, [deploy, short]) is None
    assert explain(FIRST, AGAIN, [deploy]) is None


def test_a_cancelled_job_must_not_start_any_more() -> None:
    assert judge([job(may_be_cancelled=True)], {}, [], ()).counts["cancelled"] == 1
    assert not judge([job(cancelled=NAP)], {"j": [run(NAP - 2, NAP + 1)]}, [], ()).problems
    late = judge([job(cancelled=NAP)], {"j": [run(NAP + 2, NAP + 3)]}, [], ())
    assert (late.counts["ran though cancelled"], len(late.problems)) == (1, 1)
    forgotten = [Fault(Kind.PROMOTED, NAP + 0.5, NAP + 1)]
    assert not judge([job(cancelled=NAP)], {"j": [run(NAP + 2, NAP + 3)]}, forgotten, ()).problems


def test_one_delivery_started_twice_is_never_excused() -> None:
    killed = Fault(Kind.WORKER_KILLED, NAP + 0.5, NAP + 0.6, ("w1",))
    verdict = judge([job()], {"j": [FIRST, run(NAP + 10, token="t1")]}, [killed], ())
    assert verdict.twice["unexplained"] == 1


def test_a_job_that_must_not_run_twice_is_excused_only_by_a_lost_record() -> None:
    killed = Fault(Kind.WORKER_KILLED, NAP + 0.5, NAP + 0.6, ("w1",))
    promoted = Fault(Kind.PROMOTED, NAP + 0.5, NAP + 3)
    runs = {"j": [FIRST, AGAIN]}
    assert judge([job(kind="once")], runs, [killed], ()).problems
    assert not judge([job(kind="once")], runs, [promoted], ()).problems


def test_runs_are_read_from_their_lines() -> None:
    line = {"job": "j", "attempt": 0, "token": "t", "worker": "w", "pid": 1, "deliveries": 1}
    entries = [
        {**line, "event": "start", "at": 1.0},
        {**line, "event": "start", "at": 2.0, "token": "u"},
        {**line, "event": "error", "at": 3.0},
    ]
    first, second = runs_of(entries)["j"]
    assert (first.outcome, first.ended) == ("error", 3.0)
    assert (second.token, second.outcome) == ("u", "")
