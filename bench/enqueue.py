"""Jobs a second that one process enqueues: one at a time and many in one call, beside Celery's."""

from __future__ import annotations

from bench.processes import output_of
from bench.report import Report
from bench.rounds import Rounds
from bench.run import OURS, STOCK
from bench.servers import Servers, servers

ROUNDS = 7
JOBS = 4000
MANY = 10_000
QUICK_JOBS = 100
SIDES = {
    "delay": (OURS, "enqueue"),
    "celery_delay": (STOCK, "enqueue"),
    "enqueue_many": (OURS, "enqueue_many"),
}


def measure(rounds: int | None = None, quick: bool = False) -> Report:
    """Each round has every side once, in a process of its own; the order turns by one each round."""
    count = rounds or (1 if quick else ROUNDS)
    measured = Rounds()
    names = list(SIDES)
    with servers() as pair:
        for number in range(count):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                jobs = QUICK_JOBS if quick else MANY if name == "enqueue_many" else JOBS
                measured.take(name, lambda name=name, jobs=jobs: jobs_per_second(*SIDES[name], jobs, pair))
            measured.ratio("delay_vs_celery", "delay", "celery_delay")
            measured.ratio("enqueue_many_vs_celery", "enqueue_many", "celery_delay")
    return Report(
        "enqueue",
        count,
        [
            measured.figure("delay_vs_celery", "x", at_least=1.2),
            measured.figure("enqueue_many_vs_celery", "x", at_least=12),
            *(measured.figure(name, "jobs/s") for name in names),
        ],
    )


def jobs_per_second(app: str, function: str, jobs: int, pair: Servers) -> float:
    """Enqueue on an empty broker, after one job that pays for connecting and for what is loaded once."""
    pair.broker().flushall()
    seconds = output_of("bench.apps", "enqueue", app, function, str(jobs + 1), environment=pair.environment())
    return jobs / float(seconds)
