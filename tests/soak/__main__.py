"""``python -m tests.soak --minutes N [--seed S] [--rate R] [--stock] [--json] [--logs FOLDER]``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.soak.report import complaints_of, table, timeline
from tests.soak.soak import soak
from tests.soak.terms import OURS, STOCK
from tests.support.worker import ROOT, environment


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="length of the storm (default: 10)")
    parser.add_argument("--seed", type=int, help="of jobs and faults (default: a new one)")
    parser.add_argument("--rate", type=float, default=10, help="jobs a second (default: 10)")
    parser.add_argument("--stock", action="store_true", help="the same storm on stock Celery as well")
    parser.add_argument("--json", action="store_true", help="print a document in place of the table")
    parser.add_argument("--logs", type=Path, help="keep the workers' logs in this folder")
    parser.add_argument("--arm", choices=(OURS, STOCK), default=OURS, help="run this one alone")
    return parser.parse_args()


def elsewhere(arm: str, given: argparse.Namespace) -> dict[str, Any]:
    """Run one arm in a process of its own: what is installed in one must not be in the other."""
    command = [sys.executable, "-m", "tests.soak", "--json", "--arm", arm, "--seed", str(given.seed)]
    command += ["--minutes", str(given.minutes), "--rate", str(given.rate)]
    if given.logs:
        command += ["--logs", str(given.logs / arm)]
    done = subprocess.run(command, cwd=ROOT, env=environment({}), stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> int:
    """Run; the exit code is 1 when ours has lost a job or cannot explain a second run."""
    given = arguments()
    if given.seed is None:
        given.seed = int(time.time())
    if given.stock:
        found = [elsewhere(arm, given) for arm in (OURS, STOCK)]
    else:
        found = [soak(given.arm, minutes=given.minutes, seed=given.seed, rate=given.rate, keep=given.logs)]
    if given.json:
        print(json.dumps(found if given.stock else found[0], indent=1))
    else:
        print(f"seed {given.seed}, {given.minutes:g} minutes\n\n{table(found)}")
        if not found[0]["ok"]:
            print(f"\n{complaints_of(found[0])}\n\nfaults\n{timeline(found[0])}")
    return 0 if found[0]["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
