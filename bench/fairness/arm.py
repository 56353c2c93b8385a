"""One platform at work on its own pair of servers: what is preloaded, its workers, its sender, what ran."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import NamedTuple

from bench.fairness.sender import Send, Sender
from bench.processes import output_of, running, until
from bench.run import OURS, QUEUE, celery
from bench.servers import servers
from queueops.engine.rules.gates import Limits
from queueops.engine.store import Store

READY_SECONDS = 120
LOOK_SECONDS = 0.1


class Ran(NamedTuple):
    """One job that ran: times in seconds of the machine's monotonic clock, ``claimed_ms`` of the broker's."""

    org: str
    sent: float
    start: float
    end: float
    claimed_ms: int
    process: int


class Arm:
    """A context with servers, workers and a sender of its own; everything is killed at its end.

    Preload, then work, then set limits and prepare. ``slots`` is a worker's threads.
    """

    def __init__(self, app: str = OURS, workers: int = 1, slots: int = 8) -> None:
        self.slots = workers * slots
        self._app = app
        self._commands = [
            celery(app, "-P", "threads", "-c", str(slots), "-n", f"w{number}@bench")
            for number in range(workers)
        ]
        self._stack = ExitStack()
        self._records: list[Ran] = []

    def __enter__(self) -> Arm:
        self._servers = self._stack.enter_context(servers())
        self._environment = self._servers.environment()
        self._counter = self._servers.counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def limits(self, limits: Mapping[str, Limits]) -> None:
        """Set the limits of orgs; the empty name is every other org's default."""
        Store(self._servers.broker()).set_limits(QUEUE, dict(limits))

    def preload(self, jobs: Sequence[tuple[str, float]]) -> None:
        """Enqueue jobs (org, seconds), all at once."""
        output_of("bench.apps", "preload", self._app, environment=self._environment, given=json.dumps(jobs))

    def work(self) -> None:
        """Start the workers; return when each has run a job, so something must have been preloaded."""
        self._workers = self._stack.enter_context(running(self._commands, self._environment))
        self._until(
            lambda: len({record.process for record in self.ran()}) >= len(self._commands),
            READY_SECONDS,
            "not every worker has run a job",
        )

    def prepare(self, sends: Sequence[Send]) -> Sender:
        """Start a sender that is connected and waits for its word."""
        return self._stack.enter_context(Sender(self._app, sends, self._environment))

    def wait(self, count: int, since: float, seconds: float) -> list[Ran]:
        """Wait at most so many seconds until ``count`` jobs sent since then have run; return them."""
        self._until(lambda: len(self.ran_since(since)) >= count, seconds, f"fewer than {count} jobs ran")
        return self.ran_since(since)

    def wait_until(self, moment: float) -> list[Ran]:
        """Let the workers work until this moment of the monotonic clock; return what ran so far."""
        self._until(
            lambda: time.monotonic() >= moment, moment - time.monotonic() + 5, "the clock stood still"
        )
        return self.ran()

    def ran(self) -> list[Ran]:
        """Every job that ran so far."""
        new = self._counter.lrange("ran", len(self._records), -1)
        self._records.extend(Ran(*json.loads(record)) for record in new)
        return self._records

    def ran_since(self, since: float) -> list[Ran]:
        """The jobs sent since then that ran so far."""
        return [record for record in self.ran() if record.sent >= since]

    def _until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        def holds() -> bool:
            self._workers.check()
            return condition()

        until(holds, seconds, lambda: f"{what}: {self._workers.last_words()}", every=LOOK_SECONDS)
