"""What counts as a difference, and what an explanation may and may not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.compare import EXPLAINED, Explanation, compare, read_explained
from tests.conformance.runs import Outcome, load, save

PASSED, FAILED = Outcome("passed"), Outcome("failed", detail="assert 1 == 2")


def test_only_what_passes_on_stock_can_differ() -> None:
    stock = {"a": PASSED, "b": PASSED, "c": FAILED, "d": FAILED}
    ours = {"a": PASSED, "b": FAILED, "c": FAILED, "d": PASSED}

    result = compare("x.py", stock, ours, {})

    assert [d.test for d in result.differences] == ["b"]
    assert result.better == ("d",)
    assert (result.stock_passed, result.stock_total, result.ours_passed) == (2, 4, 2)


@pytest.mark.parametrize("ours", [{}, {"a": Outcome("skipped")}, {"a": Outcome("crashed")}, {"a": FAILED}])
def test_missing_skipped_and_crashed_tests_differ_as_much_as_failed_ones(ours: dict[str, Outcome]) -> None:
    assert len(compare("x.py", {"a": PASSED}, ours, {}).unexplained) == 1


def test_an_explained_difference_is_listed_and_does_not_fail_the_run() -> None:
    explained = {"a": Explanation("why", "1 == 2"), "b": Explanation("gone", "x")}

    result = compare("x.py", {"a": PASSED, "b": PASSED}, {"a": FAILED, "b": PASSED}, explained)

    assert [d.reason for d in result.differences] == ["why"]
    assert result.unexplained == ()
    assert result.outdated == ("b",)


@pytest.mark.parametrize("outcome", [Outcome("failed", detail="TimeoutError"), Outcome("crashed")])
def test_an_explained_test_that_fails_otherwise_is_not_explained(outcome: Outcome) -> None:
    result = compare("x.py", {"a": PASSED}, {"a": outcome}, {"a": Explanation("why", "1 == 2")})

    assert [d.test for d in result.unexplained] == ["a"]


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ('tests = ["a"]\nreason = " "\nshows = "x"', "needs a reason"),
        ('tests = ["a"]\nreason = "b"\nshows = ""', "what its failure shows"),
        ('tests = ["a", "a"]\nreason = "b"\nshows = "x"', "twice"),
    ],
)
def test_an_explanation_says_something_and_once(table: str, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "explained.toml"
    file.write_text(f"[[difference]]\n{table}\n")

    with pytest.raises(ValueError, match=fault):
        read_explained(file)


def test_the_explanations_of_the_project_can_be_read() -> None:
    assert all("::" in test for test in read_explained(EXPLAINED))


def test_outcomes_survive_the_cache(tmp_path: Path) -> None:
    outcomes = {"test_x.py::test_y[a/b]": Outcome("failed", 1.5, 2, "détail")}

    save(outcomes, tmp_path / "deep" / "x.json")

    assert load(tmp_path / "deep" / "x.json") == outcomes
