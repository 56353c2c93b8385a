"""Each benchmark runs to its end with tiny sizes and prints the shape it promises; no time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FEATURES = {
    *("org_limits", "deadline", "unlimited_resource", "resource_limits", "breaker"),
    *("unique_key", "dependency", "backlog_limit"),
}
FIGURES = {
    "run": {"prefork_2_vs_celery", "threads_8_vs_celery", "two_threads_8_vs_dramatiq"},
    "enqueue": {"delay_vs_celery", "enqueue_many_vs_celery"},
    "scale": {"many_orgs_vs_few", "throttled_orgs_vs_open", "closed_resource_vs_open"},
    "features": FEATURES,
    "memory": {"bytes_per_job_vs_celery", "worker_growth_mb_million_scheduled"},
    "surfaces": {"page_p95_ms", "api_p95_ms", "status_3_workers_ms"},
    "fairness": {
        "quiet_slowdown",
        "quiet_slowdown_shared",
        "celery_quiet_slowdown",
        "trace_quiet_slowdown",
        "celery_trace_quiet_slowdown",
        "weighted_share_error",
        "time_share_error",
        "time_share_error_ten_workers",
        "rate_violations",
        "rate_used",
        "idle_while_claimable",
    },
}
# Each starts many workers; on a busy machine that alone takes minutes.
LIMIT_SECONDS = 600
# Without a bar stand only the peers' figures and what a ratio was made of.
WITHOUT_BAR = {"celery_quiet_slowdown", "celery_trace_quiet_slowdown", *FEATURES}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as users do."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )


@pytest.mark.timeout(LIMIT_SECONDS)
@pytest.mark.parametrize(
    "name",
    [
        *("enqueue", "scale"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("run", "memory", "surfaces", "fairness")),
    ],
)
def test_prints_one_object_with_every_figure_measured(name: str) -> None:
    done = bench(name, "--json", "--quick", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report) == ["bench", "machine", "rounds", "figures"]
    assert report["bench"] == name
    assert report["rounds"] == 1
    figures = {figure["name"]: figure for figure in report["figures"]}
    assert figures.keys() >= FIGURES[name]
    for figure in figures.values():
        assert list(figure) == ["name", "value", "unit", "min", "max", "bar", "holds"]
        assert isinstance(figure["value"], float), done.stderr
        assert figure["min"] <= figure["value"] <= figure["max"]
        assert (figure["bar"] is None) == (figure["holds"] is None)
    assert {n for n in FIGURES[name] if figures[n]["bar"] is None} == FIGURES[name] & WITHOUT_BAR


def test_list_says_what_there_is() -> None:
    done = bench("list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(FIGURES)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    done = bench("speed")
    assert done.returncode == 2
    assert "run" in done.stderr and "fairness" in done.stderr
