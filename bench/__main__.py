"""``python -m bench [NAME] [--json] [--rounds N] [--quick]``: run benchmarks and print their figures."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from types import FrameType

from bench.report import Report

BENCHES = {
    "run": "jobs a second that workers run, beside Celery and Dramatiq",
    "enqueue": "jobs a second that one process enqueues, beside Celery",
    "scale": "time per job inside the broker with few and many orgs, open and closed",
    "features": "time per job inside the broker with each feature, over a plain job",
    "memory": "bytes of a waiting job beside Celery, what a million scheduled ones add to a worker",
    "surfaces": "milliseconds that operators wait for pages, API and command line",
    "fairness": "quiet orgs beside a storm and on a real trace, shares, rates, idle slots",
}


def main() -> int:
    """Run one benchmark or all; return 1 when a bar does not hold, but always 0 with --json."""
    parser = argparse.ArgumentParser(prog="bench", description="Benchmarks of queueops beside its peers.")
    parser.add_argument(
        "name",
        nargs="?",
        choices=[*BENCHES, "list"],
        help="which one (default: all); list says what they measure",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line instead of tables")
    parser.add_argument("--rounds", type=int, help="how often to measure (default: the benchmark's own)")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes: show that it works, measure nothing"
    )
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.name == "list":
        for name, text in BENCHES.items():
            print(f"{name:10}{text}")
        return 0
    # The servers and workers are children in sessions of their own: only an orderly end stops them.
    signal.signal(signal.SIGTERM, _end)
    reports = [
        run(name, options.rounds, options.quick, options.json)
        for name in ([options.name] if options.name else BENCHES)
    ]
    return 0 if options.json or all(report.holds for report in reports) else 1


def run(name: str, rounds: int | None, quick: bool, as_json: bool) -> Report:
    """Measure and print one benchmark."""
    # Imported when it is run: one that cannot be imported does not keep the others from running.
    report: Report = importlib.import_module(f"bench.{name}").measure(rounds, quick)
    if as_json:
        print(report.to_json(), flush=True)
    else:
        report.print_table()
    return report


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
