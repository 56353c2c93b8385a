"""The publishing processes: ``python -m bench.apps enqueue|preload|send APP ...``, one platform each."""

from __future__ import annotations

import importlib
import json
import sys
import time
from types import ModuleType

# Sent to connect before the clock runs; a ``sent`` of 0 keeps it out of every figure.
WARM_UP = ("warm-up", 0.0, 0.001)


def enqueue(app: ModuleType, function: str, count: str) -> None:
    """Call the app's function for one job to connect, then for the others; print the seconds these took."""
    call = getattr(app, function)
    call(1)
    start = time.perf_counter()
    call(int(count) - 1)
    print(time.perf_counter() - start)


def preload(app: ModuleType) -> None:
    """Enqueue the jobs [[org, seconds], ...] of standard input at once."""
    app.preload([(org, seconds) for org, seconds in json.load(sys.stdin)])


def send(app: ModuleType) -> None:
    """Read the plan [[at, org, seconds], ...], connect, say ready, read the start, send, say so."""
    plan = json.loads(sys.stdin.readline())
    app.send(*WARM_UP)
    print("ready", flush=True)
    start = float(sys.stdin.readline())
    for at, org, seconds in plan:
        time.sleep(max(0.0, start + at - time.monotonic()))
        app.send(org, time.monotonic(), seconds)
    print("sent", flush=True)


if __name__ == "__main__":
    action, module, *arguments = sys.argv[1:]
    {"enqueue": enqueue, "preload": preload, "send": send}[action](
        importlib.import_module(module), *arguments
    )
