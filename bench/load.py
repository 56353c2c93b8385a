"""``python -m bench.load APP FUNCTION COUNT``: enqueue in a process of its own, print the seconds it took."""

from __future__ import annotations

import importlib
import sys
import time


def main() -> None:
    """Enqueue one job to connect, then the others against the clock; COUNT includes the first."""
    app, function, count = sys.argv[1:]
    enqueue = getattr(importlib.import_module(app), function)
    enqueue(1)
    start = time.perf_counter()
    enqueue(int(count) - 1)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
