"""Jobs a second that workers run: queueops, Celery and Dramatiq in turn, counted by the jobs that ran."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.processes import Command, Failed, output_of, running
from bench.report import Figure, Report
from bench.rounds import Rounds
from bench.servers import Servers, servers

ROUNDS = 5
JOBS = 8_000
# Two workers start one after the other: enough jobs, so that how they start is a small part.
JOBS_OF_TWO = 20_000
QUICK_JOBS = 200
# Measured from the first job that was seen to have run: starting a worker is not running jobs.
LOOK_SECONDS = 0.01
LIMIT_SECONDS = 180

QUEUE = "standard"


@dataclass(frozen=True)
class Side:
    """One platform with its workers; ``figure`` names its jobs a second."""

    figure: str
    app: str
    commands: Sequence[Command]


@dataclass(frozen=True)
class Comparison:
    """Ours beside a peer with the same number of processes and threads.

    ``full``: ours with every feature of a job in use.
    """

    figure: str
    ours: Side
    peer: Side
    bar: float
    full: Side
    jobs: int = JOBS

    @property
    def full_figure(self) -> str:
        """The name of the ratio of ``full``."""
        return self.figure.replace("_vs_", "_everything_vs_")


def celery(app: str, *options: str) -> Command:
    """The command of one Celery worker that serves the one queue that all benchmarks use."""
    return [sys.executable, "-m", "celery", "-A", app, "worker", "-l", "ERROR", "-Q", QUEUE, *options]


def two(app: str, *options: str) -> list[Command]:
    """The commands of two Celery workers with names of their own."""
    return [celery(app, *options, "-n", f"{name}@bench") for name in ("a", "b")]


OURS, FULL = "bench.apps.ours", "bench.apps.everything"
STOCK, DRAMATIQ = "bench.apps.stock", "bench.apps.dramatiq_peer"
PREFORK = ("-c", "2")
THREADS = ("-P", "threads", "-c", "8")
DRAMATIQ_COMMAND = [sys.executable, "-m", "dramatiq", DRAMATIQ, "-p", "2", "-t", "8"]
COMPARISONS = (
    Comparison(
        "prefork_2_vs_celery",
        Side("prefork_2", OURS, [celery(OURS, *PREFORK)]),
        Side("celery_prefork_2", STOCK, [celery(STOCK, *PREFORK)]),
        bar=2.2,
        full=Side("prefork_2_everything", FULL, [celery(FULL, *PREFORK)]),
    ),
    Comparison(
        "threads_8_vs_celery",
        Side("threads_8", OURS, [celery(OURS, *THREADS)]),
        Side("celery_threads_8", STOCK, [celery(STOCK, *THREADS)]),
        bar=3,
        full=Side("threads_8_everything", FULL, [celery(FULL, *THREADS)]),
    ),
    Comparison(
        "two_threads_8_vs_dramatiq",
        Side("two_threads_8", OURS, two(OURS, *THREADS)),
        Side("dramatiq_two_threads_8", DRAMATIQ, [DRAMATIQ_COMMAND]),
        bar=1.1,
        full=Side("two_threads_8_everything", FULL, two(FULL, *THREADS)),
        jobs=JOBS_OF_TWO,
    ),
)


def measure(rounds: int | None = None, quick: bool = False) -> Report:
    """Run every comparison once a round; the two sides of a comparison alternate in who comes first."""
    count = rounds or (1 if quick else ROUNDS)
    measured = Rounds()
    with servers() as pair:
        for number in range(count):
            for comparison in COMPARISONS:
                jobs = QUICK_JOBS if quick else comparison.jobs
                sides = [comparison.ours, comparison.full, comparison.peer]
                for side in sides if number % 2 == 0 else reversed(sides):
                    measured.take(side.figure, lambda side=side, jobs=jobs: jobs_per_second(side, jobs, pair))
                measured.ratio(comparison.figure, comparison.ours.figure, comparison.peer.figure)
                measured.ratio(comparison.full_figure, comparison.full.figure, comparison.peer.figure)
    figures: list[Figure] = []
    for comparison in COMPARISONS:
        figures.append(measured.figure(comparison.figure, "x", at_least=comparison.bar))
        figures.append(measured.figure(comparison.full_figure, "x", at_least=comparison.bar))
        for side in (comparison.ours, comparison.full, comparison.peer):
            figures.append(measured.figure(side.figure, "jobs/s"))
    return Report("run", count, figures)


def jobs_per_second(side: Side, jobs: int, pair: Servers) -> float:
    """Enqueue the jobs with no worker up, start the workers, and time them from the first job to the last."""
    broker, counter = pair.broker(), pair.counter()
    broker.flushall()
    counter.flushall()
    environment = pair.environment()
    output_of("bench.apps", "enqueue", side.app, "enqueue", str(jobs), environment=environment)
    first: tuple[float, int] | None = None
    deadline = time.monotonic() + LIMIT_SECONDS
    with running(side.commands, environment) as workers:
        while True:
            ran, now = int(counter.get("done") or 0), time.perf_counter()
            if ran and first is None:
                first = (now, ran)
            if first is not None and ran >= jobs:
                break
            if time.monotonic() > deadline:
                raise Failed(f"{side.figure}: {ran} of {jobs} jobs ran: {workers.last_words()}")
            workers.check()
            time.sleep(LOOK_SECONDS)
    if now == first[0]:
        raise Failed(f"{side.figure}: all {jobs} jobs ran between two looks; give it more")
    return (jobs - first[1]) / (now - first[0])
