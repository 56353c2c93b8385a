"""The fairness benchmark: which scenarios run together, and the figures made of what they found."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bench.fairness import sizes as sizes_
from bench.fairness.rate import rate
from bench.fairness.replay import replay
from bench.fairness.shares import time_share_error, time_share_error_ten_workers, weighted_share_error
from bench.fairness.storm import storm
from bench.report import Figure, Report
from bench.rounds import Rounds

STORM = (
    "quiet_p95_alone",
    "quiet_p95",
    "quiet_p95_shared",
    "celery_quiet_p95_alone",
    "celery_quiet_p95",
    "idle_while_claimable",
)
TRACE = (
    "trace_quiet_p95_alone",
    "trace_quiet_p95",
    "celery_trace_quiet_p95_alone",
    "celery_trace_quiet_p95",
)
RATE = ("rate_violations", "rate_used")
SLOWDOWNS = (
    ("quiet_slowdown", "quiet_p95", "quiet_p95_alone", 1.5),
    ("quiet_slowdown_shared", "quiet_p95_shared", "quiet_p95_alone", 1.1),
    ("celery_quiet_slowdown", "celery_quiet_p95", "celery_quiet_p95_alone", None),
    ("trace_quiet_slowdown", "trace_quiet_p95", "trace_quiet_p95_alone", 1.5),
    ("celery_trace_quiet_slowdown", "celery_trace_quiet_p95", "celery_trace_quiet_p95_alone", None),
)


def measure(rounds: int | None = None, quick: bool = False) -> Report:
    """Storm, then the trace, then shares and rate together, then ten workers; once a round."""
    count, sizes = rounds or 1, sizes_.QUICK if quick else sizes_.FULL
    measured = Rounds()
    for number in range(count):
        measured.take_all(STORM, lambda seed=number: storm(sizes, seed))
        measured.take_all(TRACE, lambda: replay(sizes))
        for figure, over, under, _ in SLOWDOWNS:
            measured.ratio(figure, over, under)
        together(
            lambda: measured.take("weighted_share_error", lambda: weighted_share_error(sizes)),
            lambda: measured.take("time_share_error", lambda: time_share_error(sizes)),
            lambda: measured.take_all(RATE, lambda: rate(sizes)),
        )
        measured.take("time_share_error_ten_workers", lambda: time_share_error_ten_workers(sizes))
    return Report("fairness", count, figures(measured))


def figures(measured: Rounds) -> list[Figure]:
    """Those with a bar first, then what they were made of."""
    return [
        *(
            measured.figure(figure, "x", **({} if bar is None else {"at_most": bar}))
            for figure, _, _, bar in SLOWDOWNS
        ),
        measured.figure("weighted_share_error", "%", at_most=2),
        measured.figure("time_share_error", "%", at_most=5),
        measured.figure("time_share_error_ten_workers", "%", at_most=5),
        measured.figure("rate_violations", "jobs", at_most=0),
        measured.figure("rate_used", "%", at_least=99),
        measured.figure("idle_while_claimable", "%", under=1),
        *(measured.figure(name, "ms") for name in (*STORM[:-1], *TRACE)),
    ]


def together(*scenarios: Callable[[], None]) -> None:
    """Run scenarios at the same time: their jobs sleep, so they hardly share the machine."""
    with ThreadPoolExecutor(len(scenarios)) as pool:
        for future in [pool.submit(scenario) for scenario in scenarios]:
            future.result()
