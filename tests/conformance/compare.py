"""What differs between the two runs, and which differences have been explained."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.runs import Outcome, Outcomes

EXPLAINED = Path(__file__).with_name("explained.toml")


@dataclass(frozen=True)
class Explanation:
    """Why a test differs, and a text that its failure then shows: any other failure is not explained."""

    reason: str
    shows: str


@dataclass(frozen=True)
class Difference:
    """A test that passes on stock and not on ours; ``reason`` is empty when nobody has explained it."""

    test: str
    ours: str
    detail: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """One suite over both brokers."""

    suite: str
    stock_passed: int
    stock_total: int
    ours_passed: int
    ours_total: int
    differences: tuple[Difference, ...]
    better: tuple[str, ...]
    outdated: tuple[str, ...]

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        """Differences without a reason: these fail the run."""
        return tuple(d for d in self.differences if not d.reason)


def compare(suite: str, stock: Outcomes, ours: Outcomes, explained: Mapping[str, Explanation]) -> Comparison:
    """Compare the outcomes of one suite; a test that is missing on ours differs as much as one that fails.

    ``explained`` is what :func:`read_explained` returns; ``outdated`` are explained tests that pass by now.
    """
    passed = [test for test, outcome in stock.items() if outcome.outcome == "passed"]
    ours_passed = {test for test, outcome in ours.items() if outcome.outcome == "passed"}
    differences = []
    for test in passed:
        if test in ours_passed:
            continue
        outcome = ours.get(test, Outcome("not run"))
        explanation = explained.get(test)
        holds = explanation is not None and explanation.shows in outcome.detail
        reason = explanation.reason if explanation and holds else ""
        differences.append(Difference(test, outcome.outcome, outcome.detail, reason))
    return Comparison(
        suite=suite,
        stock_passed=len(passed),
        stock_total=len(stock),
        ours_passed=len(ours_passed),
        ours_total=len(ours),
        differences=tuple(differences),
        better=tuple(sorted(ours_passed - set(passed))),
        outdated=tuple(sorted(test for test in explained if test in ours_passed)),
    )


def read_explained(path: Path = EXPLAINED) -> dict[str, Explanation]:
    """Return test id → explanation from the ``[[difference]]`` tables of ``path``: tests, reason, shows.

    Raises ``ValueError`` for an empty reason or text, and for a test that is explained twice.
    """
    explained: dict[str, Explanation] = {}
    for table in tomllib.loads(path.read_text(encoding="utf-8"))["difference"]:
        explanation = Explanation(" ".join(table["reason"].split()), table["shows"])
        for test in table["tests"]:
            if not explanation.reason or not explanation.shows.strip():
                raise ValueError(f"{path.name}: {test} needs a reason and what its failure shows")
            if test in explained:
                raise ValueError(f"{path.name}: {test} is explained twice")
            explained[test] = explanation
    return explained
