"""Bytes of a waiting job in the broker beside Celery's, and what a million scheduled ones add to a worker."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack

from bench.processes import Failed, output_of, running, until
from bench.report import Report
from bench.rounds import Rounds
from bench.run import OURS, QUEUE, STOCK, THREADS, celery
from bench.servers import Servers, servers
from queueops.engine.store import Store

ROUNDS = 1
JOBS = 20_000
SCHEDULED = 1_000_000
QUICK_JOBS, QUICK_SCHEDULED = 300, 1_000
# Run before anything is measured: what a worker loads and allocates once is not growth.
WARM_UP = 2_000
QUICK_WARM_UP = 50
# Longer than a heartbeat: the worker has renewed and looked at its timers beside the new jobs.
SETTLE_SECONDS = 15
QUICK_SETTLE_SECONDS = 1
SIDES = {"bytes_per_job": OURS, "celery_bytes_per_job": STOCK}


def measure(rounds: int | None = None, quick: bool = False) -> Report:
    """Each round measures both sides' waiting jobs on fresh servers, then a worker beside scheduled jobs."""
    repeats, measured = rounds or ROUNDS, Rounds()
    for number in range(repeats):
        for name in SIDES if number % 2 == 0 else reversed(SIDES):
            jobs = QUICK_JOBS if quick else JOBS
            measured.take(name, lambda name=name, jobs=jobs: bytes_per_job(SIDES[name], jobs))
        measured.ratio("bytes_per_job_vs_celery", "bytes_per_job", "celery_bytes_per_job")
        measured.take("worker_growth_mb_million_scheduled", lambda: worker_growth(quick))
    return Report(
        "memory",
        repeats,
        [
            measured.figure("bytes_per_job_vs_celery", "x", at_most=1.5),
            measured.figure("worker_growth_mb_million_scheduled", "MB", under=20),
            *(measured.figure(name, "bytes") for name in SIDES),
        ],
    )


def bytes_per_job(app: str, jobs: int) -> float:
    """Enqueue the jobs one at a time by the app's own `apply_async`, no worker up; return what each holds."""
    with servers() as pair:
        environment, broker = pair.environment(), pair.broker()
        # The first job pays for what is there once: scripts, the queue's own keys, the client's connection.
        output_of("bench.apps", "enqueue", app, "enqueue_events", "1", environment=environment)
        before = used_memory(pair)
        output_of("bench.apps", "enqueue", app, "enqueue_events", str(jobs), environment=environment)
        if broker.llen(QUEUE) != jobs + 1:
            raise Failed(f"{app}: {broker.llen(QUEUE)} of {jobs + 1} jobs wait")
        return (used_memory(pair) - before) / jobs


def worker_growth(quick: bool) -> float:
    """Start a worker, warm it up, enqueue jobs that are due in an hour; return how many MB it has grown."""
    scheduled = QUICK_SCHEDULED if quick else SCHEDULED
    warm_up = QUICK_WARM_UP if quick else WARM_UP
    with ExitStack() as stack:
        pair = stack.enter_context(servers())
        environment, store = pair.environment(), Store(pair.broker())
        output_of("bench.apps", "enqueue", OURS, "enqueue", str(warm_up), environment=environment)
        workers = stack.enter_context(running([celery(OURS, *THREADS)], environment))

        def warm() -> bool:
            workers.check()
            return int(pair.counter().get("done") or 0) >= warm_up

        until(warm, 120, lambda: f"the worker has not warmed up: {workers.last_words()}", every=0.1)
        pause = QUICK_SETTLE_SECONDS if quick else SETTLE_SECONDS
        time.sleep(pause)
        before = resident_mb(workers.processes[0].pid)
        output_of(
            "bench.apps", "enqueue", OURS, "schedule", str(scheduled), environment=environment, seconds=900
        )
        time.sleep(pause)
        workers.check()
        if (found := store.queue_snapshot(QUEUE).scheduled) != scheduled:
            raise Failed(f"{found} of {scheduled} jobs are scheduled")
        return resident_mb(workers.processes[0].pid) - before


def used_memory(pair: Servers) -> int:
    """Bytes the broker has allocated."""
    return int(pair.broker().info("memory")["used_memory"])


def resident_mb(pid: int) -> float:
    """Resident memory of one process in MB."""
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(done.stdout) * 1024 / 1e6
