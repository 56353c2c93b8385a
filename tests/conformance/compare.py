"""What differs between the two runs, and which differences have been explained."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.runs import Outcomes

EXPLAINED = Path(__file__).with_name("explained.toml")


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


def compare(suite: str, stock: Outcomes, ours: Outcomes, reasons: dict[str, str]) -> Comparison:
    """Compare the outcomes of one suite; a test that is missing on ours differs as much as one that fails.

    ``reasons`` maps a test's id to why it differs. ``outdated`` are explained tests that pass on ours by now.
    """
    passed = [test for test, outcome in stock.items() if outcome.outcome == "passed"]
    ours_passed = {test for test, outcome in ours.items() if outcome.outcome == "passed"}
    differences = tuple(
        Difference(
            test,
            ours[test].outcome if test in ours else "not run",
            ours[test].detail if test in ours else "",
            reasons.get(test, ""),
        )
        for test in passed
        if test not in ours_passed
    )
    return Comparison(
        suite=suite,
        stock_passed=len(passed),
        stock_total=len(stock),
        ours_passed=len(ours_passed),
        ours_total=len(ours),
        differences=differences,
        better=tuple(sorted(ours_passed - set(passed))),
        outdated=tuple(sorted(test for test in reasons if test in ours_passed)),
    )


def read_reasons(path: Path = EXPLAINED) -> dict[str, str]:
    """Return test id → reason from the ``[[difference]]`` tables of ``path``: each its tests, one reason.

    Raises ``ValueError`` for an empty reason and for a test that is explained twice.
    """
    reasons: dict[str, str] = {}
    for table in tomllib.loads(path.read_text(encoding="utf-8"))["difference"]:
        reason = " ".join(table["reason"].split())
        for test in table["tests"]:
            if not reason:
                raise ValueError(f"{path.name}: {test} has no reason")
            if test in reasons:
                raise ValueError(f"{path.name}: {test} is explained twice")
            reasons[test] = reason
    return reasons
