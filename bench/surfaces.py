"""How long operators wait: pages, API and command line before a big broker and a big database.

A page's figure is the 95th percentile of the slowest page, the API's that of the slowest route. The command
line's is what ``queue status`` takes beyond a process that only sets the project up.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from bench import scenes
from bench.processes import output_of, running, until
from bench.report import Figure, Report
from bench.servers import HOST, ROOT, free_port, server

LOOKS, QUICK_LOOKS = 40, 3
STARTS, QUICK_STARTS = 9, 1
USER, PASSWORD = "bench", "only-for-the-bench"
DASHBOARD = "/admin/queues/"
PAGES = {
    "overview": "",
    "queue": "queue/bulk/",
    "org": "org/org-big/",
    "orgs": "orgs/",
    "jobs": "jobs/",
    "letters": "letters/",
    "resources": "resources/",
    "workers": "workers/",
    "audit": "audit/",
}
API = "/api/v1/admin/queue/"
ROUTES = {
    "stats": "stats",
    "dead_letters": "dead-letters",
    "groups": "dead-letters/groups",
    "workers": "workers",
    "orgs": "orgs",
    "org": "orgs/org-big",
    "jobs": "jobs?queue=bulk",
    "audit": "audit",
}
SET_UP = "import django; django.setup()"


def measure(rounds: int | None = None, quick: bool = False) -> Report:
    """Build the scene, start the web server, and look; ``rounds`` is how often each page is asked for."""
    looks = rounds or (QUICK_LOOKS if quick else LOOKS)
    sizes = scenes.QUICK if quick else scenes.Sizes()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, server() as broker:
        environment = _environment(Path(folder), broker.port)
        arguments = ["--quick"] if quick else []
        output_of("bench.scenes", "--only-build", *arguments, environment=environment, seconds=1_800)
        _make_user(environment)
        with _web(environment) as address, httpx.Client(base_url=address, timeout=60) as client:
            _log_in(client)
            pages = {name: _times(client, DASHBOARD + path, looks) for name, path in PAGES.items()}
            routes = {name: _times(client, API + path, looks) for name, path in ROUTES.items()}
        starts = QUICK_STARTS if quick else STARTS
        beyond = _starts(environment, starts)
    return Report(
        "surfaces",
        looks,
        [
            Figure("page_p95_ms", [max(map(_p95, pages.values()))], "ms", under=300),
            Figure("api_p95_ms", [max(map(_p95, routes.values()))], "ms", under=300),
            Figure(f"status_{sizes.workers}_workers_ms", beyond, "ms", under=200),
            *(Figure(f"page_{name}", times, "ms") for name, times in pages.items()),
            *(Figure(f"api_{name}", times, "ms") for name, times in routes.items()),
        ],
    )


def _environment(folder: Path, port: int) -> dict[str, str]:
    own = ("QUEUEOPS", "DJANGO", "CELERY", "DATABASE_URL", "REDIS_URL", "DEBUG")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": "bench",
        "DEBUG": "false",
        "QUEUEOPS_VAR": str(folder),
        "QUEUEOPS_BROKER_URL": f"queueops://{HOST}:{port}/0",
        "DATABASE_URL": os.environ.get("BENCH_DATABASE_URL", ""),
    }


def _make_user(environment: dict[str, str]) -> None:
    environment = {**environment, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    words = ("createsuperuser", "--noinput", "--username", USER, "--email", "bench@example.com")
    output_of("django", *words, environment=environment)


@contextmanager
def _web(environment: dict[str, str]) -> Iterator[str]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "config.asgi:application",
        "--host",
        HOST,
        "--port",
        str(port),
    ]
    address = f"http://{HOST}:{port}"
    with running([[*command, "--log-level", "warning"]], environment):
        until(lambda: _answers(address), 60, lambda: "the web server does not answer", 0.1)
        yield address


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/admin/login/", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def _log_in(client: httpx.Client) -> None:
    client.get("/admin/login/")
    form = {"username": USER, "password": PASSWORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
    done = client.post("/admin/login/", data=form, headers={"Referer": str(client.base_url)})
    assert done.status_code == 302, f"logging in failed: {done.status_code}"


def _times(client: httpx.Client, path: str, looks: int) -> list[float]:
    """Milliseconds of each look, after two that pay for what is made once."""

    def look() -> None:
        answer = client.get(path)
        assert answer.status_code == 200, f"{path} answered {answer.status_code}: {answer.text[:300]}"

    for _ in range(2):
        look()
    return [_milliseconds(look) for _ in range(looks)]


def _starts(environment: dict[str, str], starts: int) -> list[float]:
    """What the command takes beyond a process that only sets the project up, in turns."""

    def run(*command: str) -> Callable[[], object]:
        return lambda: subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=environment, check=True, capture_output=True, timeout=60
        )

    status, base = run("manage.py", "queueops", "queue", "status"), run("-c", SET_UP)
    return [_milliseconds(status) - _milliseconds(base) for _ in range(starts)]


def _milliseconds(act: Callable[[], object]) -> float:
    before = time.perf_counter()
    act()
    return (time.perf_counter() - before) * 1000


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20, method="inclusive")[-1] if len(times) > 1 else times[0]
