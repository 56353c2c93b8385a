"""A pytest plugin that writes one JSON line when a test starts and one when it has its final outcome.

A file written as it goes, not a report at the end: when a test hangs or takes the process with it, what was
known before stays known, and the line without an end names the culprit.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import IO, Any

import pytest

DETAIL_CHARS = 8_000


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--record FILE``."""
    parser.addoption("--record", type=Path, required=True, help="where the outcomes are written, one a line")


def pytest_configure(config: pytest.Config) -> None:
    """Register the recorder under a name, so that it is there once."""
    config.pluginmanager.register(Recorder(config.getoption("--record")), "conformance-recorder")


class Recorder:
    """Follows one test at a time; a repeated test has the outcome of its last repetition."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.open("a", encoding="utf-8")
        self._test = ""
        self._outcome = "passed"
        self._detail = ""
        self._reruns = 0
        self._started = 0.0

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Write that ``nodeid`` has started."""
        if nodeid == self._test:  # pytest-rerunfailures announces each repetition
            return
        self._test, self._started = nodeid, time.monotonic()
        self._outcome, self._detail, self._reruns = "passed", "", 0
        self._write(id=nodeid, outcome="started")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one phase (setup, call or teardown) of the running test."""
        if report.outcome == "rerun":  # set by pytest-rerunfailures
            self._outcome, self._detail = "passed", ""
            self._reruns += 1
            self._write(id=report.nodeid, outcome="rerun", detail=_tail(report))
        elif report.failed:
            self._outcome, self._detail = "failed", f"[{report.when}] {_tail(report)}"
        elif report.skipped and self._outcome != "failed":
            self._outcome = "xfailed" if hasattr(report, "wasxfail") else "skipped"
            self._detail = _tail(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Write the outcome of ``nodeid``."""
        seconds = round(time.monotonic() - self._started, 2)
        self._write(
            id=nodeid, outcome=self._outcome, seconds=seconds, reruns=self._reruns, detail=self._detail
        )

    def pytest_unconfigure(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, **line: Any) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def _tail(report: pytest.TestReport) -> str:
    return report.longreprtext[-DETAIL_CHARS:]
