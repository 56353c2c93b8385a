"""``python -m bench.fairness.load APP``: enqueue the jobs [[org, seconds], ...] of standard input."""

from __future__ import annotations

import importlib
import json
import sys


def main() -> None:
    """Hand all jobs to the platform's own way of enqueueing many."""
    importlib.import_module(sys.argv[1]).preload([(org, seconds) for org, seconds in json.load(sys.stdin)])


if __name__ == "__main__":
    main()
