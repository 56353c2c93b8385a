"""The arithmetic of the benchmarks, on numbers whose answer is known."""

from __future__ import annotations

import json

import pytest

from bench.fairness.figures import fifo_turnarounds, overlap, p95, rate_violations, share_error
from bench.processes import Failed
from bench.report import Figure, Report
from bench.rounds import Rounds
from bench.trace import LONGEST, SHORTEST, quiet_half, read, week


def test_a_rate_with_its_burst_is_no_violation_and_one_job_more_is() -> None:
    burst = [0] * 20
    steady = [100 * n for n in range(1, 601)]
    assert rate_violations(burst + steady, burst=20, per_second=10) == 0
    assert rate_violations([*burst, *steady, 30_005], burst=20, per_second=10) > 0


def test_a_rate_is_looked_at_in_every_window_not_only_from_the_start() -> None:
    idle_then_double_burst = [0, *[10_000] * 40]
    assert rate_violations(idle_then_double_burst, burst=20, per_second=10) == 20


def test_share_error_is_the_largest_relative_one() -> None:
    assert share_error({"a": 10, "b": 30}, {"a": 1, "b": 3}) == pytest.approx(0)
    assert share_error({"a": 11, "b": 29}, {"a": 1, "b": 3}) == pytest.approx(10)
    assert share_error({"b": 40}, {"a": 1, "b": 3}) == pytest.approx(100)


def test_p95_of_a_hundred_is_near_the_ninety_fifth() -> None:
    assert p95(list(range(1, 101))) == pytest.approx(95, abs=0.1)
    with pytest.raises(Failed):
        p95([1.0])


def test_only_the_part_within_the_window_counts() -> None:
    assert overlap(0.0, 10.0, (4.0, 6.0)) == 2.0
    assert overlap(5.0, 10.0, (4.0, 6.0)) == 1.0
    assert overlap(7.0, 10.0, (4.0, 6.0)) == 0.0


def test_a_job_at_the_end_of_one_line_waits_for_all_ahead_of_it() -> None:
    # given ten ahead, two of which have left when the first job arrives, and two leaving a second
    found = fifo_turnarounds([2.0, 3.0], [0.5, 0.5], ahead=10, starts=[0.5, 1.5, 2.5], rate=2.0)
    assert found == [4.5, 4.5]


def test_a_bar_holds_at_its_number_unless_it_says_under() -> None:
    assert Figure("f", [2.2], "x", at_least=2.2).holds is True
    assert Figure("f", [1.8], "x", at_most=1.8).holds is True
    assert Figure("f", [1.0], "%", under=1).holds is False
    assert Figure("f", [], "x", at_most=1).holds is False
    assert Figure("f", [5.0], "jobs/s").holds is None


def test_a_round_that_failed_keeps_the_bar_from_holding(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> float:
        raise Failed("7 of 8 jobs ran")

    rounds = Rounds()
    rounds.take("ours", lambda: 30.0)
    rounds.take("ours", fails)
    figure = rounds.figure("ours", "x", at_least=3)
    assert figure.value == 30.0
    assert figure.holds is False
    assert "7 of 8 jobs ran" in capsys.readouterr().err


def test_ratios_are_of_pairs_of_one_round() -> None:
    rounds = Rounds()
    for ours, peer in ((10.0, 5.0), (40.0, 10.0), (9.0, 3.0)):
        rounds.add("ours", ours)
        rounds.add("peer", peer)
        rounds.ratio("ours_vs_peer", "ours", "peer")
    figure = rounds.figure("ours_vs_peer", "x")
    assert figure.values == [2.0, 4.0, 3.0]
    assert figure.value == 3.0


def test_the_json_object_has_exactly_its_keys() -> None:
    found = json.loads(Report("run", 3, [Figure("f", [1.0, 2.0, 4.0], "x", at_least=1.5)]).to_json())
    assert list(found) == ["bench", "machine", "rounds", "figures"]
    assert found["figures"] == [
        {"name": "f", "value": 2.0, "unit": "x", "min": 1.0, "max": 4.0, "bar": 1.5, "holds": True}
    ]


def test_the_trace_is_whole_and_its_week_has_the_load_asked_for() -> None:
    assert len(read()) == 18_239
    assert len({job.org for job in read()}) == 69
    jobs = week(seconds=60, slots=8, load=0.5)
    assert sum(job.seconds for job in jobs) == pytest.approx(0.5 * 8 * 60, rel=0.01)
    assert all(0 <= job.at < 60 and SHORTEST <= job.seconds <= LONGEST for job in jobs)
    orgs = {job.org for job in jobs}
    assert len(quiet_half(jobs)) == len(orgs) // 2
