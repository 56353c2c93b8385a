"""``python -m bench NAME [--json] [--rounds N] [--quick]``: run one benchmark and print its figures."""

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
    "scale": "time per job inside the broker with few and many orgs, open and throttled",
    "fairness": "quiet orgs beside a storm and on a real trace, shares, rates, idle slots",
}


def main() -> int:
    """Run a benchmark and print it; return 1 when a bar does not hold, but always 0 with --json."""
    parser = argparse.ArgumentParser(prog="bench", description="Benchmarks of queueops beside its peers.")
    parser.add_argument("name", choices=[*BENCHES, "list"], help="the benchmark to run; list names them")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
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
    report: Report = importlib.import_module(f"bench.{options.name}").measure(options.rounds, options.quick)
    if options.json:
        print(report.to_json())
        return 0
    report.print_table()
    return 0 if report.holds else 1


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
