"""Run limits: who is stopped when, by the watch of the prefork pool and by a real worker."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from queueops.middleware.run_limit import _Watch
from tests.support.polling import eventually
from tests.support.stack import Stack


class Pool:
    """The few names of a pool that the watch uses."""

    def __init__(self) -> None:
        self.exact: list[tuple[int, Any, Any]] = []
        self.stopped: list[tuple[str, int]] = []
        self._cache: dict[int, Any] = {}
        self.on_timeout_set: Any = lambda result, soft, hard: self.exact.append((result._job, soft, hard))
        self.on_timeout_cancel: Any = lambda result: self.exact.append((result._job, None, None))
        self.on_soft_timeout: Any = lambda result: self.stopped.append(("soft", result._job))
        self.on_hard_timeout: Any = lambda result: self.stopped.append(("hard", result._job))

    def start(self, number: int, soft: float | None, hard: float | None) -> Any:
        result = self._cache[number] = SimpleNamespace(_job=number)
        self.on_timeout_set(result, soft, hard)
        return result


@pytest.fixture
def pool() -> Pool:
    return Pool()


@pytest.fixture
def watch(pool: Pool) -> _Watch:
    made = _Watch(pool)
    made.take_over(
        SimpleNamespace(call_repeatedly=lambda seconds, function: SimpleNamespace(cancel=lambda: None))
    )
    return made


def test_short_limits_keep_celerys_exact_timer(pool: Pool, watch: _Watch) -> None:
    result = pool.start(1, 2.0, 3.0)
    pool.on_timeout_cancel(result)
    assert pool.exact == [(1, 2.0, 3.0), (1, None, None)]
    assert not watch._running


def test_a_job_over_its_limit_is_asked_to_stop_and_then_stopped(pool: Pool, watch: _Watch) -> None:
    pool.start(1, 300.0, 330.0)
    pool.start(2, None, 400.0)
    watch.look()
    assert pool.stopped == []
    for job, (soft, hard) in list(watch._running.items()):
        watch._running[job] = (soft and monotonic() - 1, hard)
    watch.look()
    watch.look()
    assert pool.stopped == [("soft", 1)], "once"
    for job, (soft, _) in list(watch._running.items()):
        watch._running[job] = (soft, monotonic() - 1)
    watch.look()
    assert pool.stopped == [("soft", 1), ("hard", 1), ("hard", 2)]
    assert not watch._running


def test_a_job_that_ended_is_forgotten(pool: Pool, watch: _Watch) -> None:
    pool.on_timeout_cancel(pool.start(1, 300.0, 330.0))
    pool.start(2, 300.0, 330.0)
    del pool._cache[2]
    watch.look()
    assert not watch._running
    assert not pool.stopped


@pytest.mark.slow
def test_a_real_worker_stops_a_job_at_a_limit_of_ten_seconds(stack: Stack) -> None:
    worker = stack.worker(pool="prefork", concurrency=1)
    stack.enqueue("run", "long", 60.0, run_limit=10, attempts=1)
    letter = eventually(stack.dead, within=25, what="the dead letter")[0]
    assert letter.detail["reason"] == "timeout"
    assert letter.detail["error"] == "SoftTimeLimitExceeded"
    assert 9_500 <= letter.detail["run_ms"] <= 13_000
    worker.stop()
