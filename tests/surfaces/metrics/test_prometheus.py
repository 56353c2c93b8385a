"""Rules and panels in the hands of the real thing; skipped where the package prometheus is not installed."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from queueops.engine.store import Store
from queueops.metrics import server
from tests.support import letters
from tests.support.polling import eventually
from tests.support.valkey import Valkey

from .conftest import Scene, end
from .prometheus import Prometheus, program
from .promql import DASHBOARDS, ROOT, RULES, mapped, panels, recorded

FOLDER = ROOT / "deploy" / "prometheus"


def run(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_rules_and_configuration(tmp_path: Path) -> None:
    promtool = program("promtool")
    run(promtool, "check", "rules", *map(str, RULES))
    # The secret is a file that docker-compose makes.
    (tmp_path / "token").write_text("s3cret")
    config = (FOLDER / "prometheus.yml").read_text()
    assert "/run/secrets/metrics_token" in config
    config = config.replace("/run/secrets/metrics_token", str(tmp_path / "token"))
    (tmp_path / "prometheus.yml").write_text(config.replace("rules/*.yml", f"{FOLDER}/rules/*.yml"))
    run(promtool, "check", "config", str(tmp_path / "prometheus.yml"))


@pytest.mark.parametrize("file", sorted((FOLDER / "tests").glob("*.yml")), ids=lambda file: file.stem)
def test_alerts_and_names_do_what_their_tests_say(file: Path) -> None:
    run(program("promtool"), "test", "rules", str(file))


def test_a_scrape_is_as_prometheus_wants_it(scene: Scene) -> None:
    from django.test import Client

    done = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=Client().get("/metrics").content,
        capture_output=True,
        timeout=60,
    )
    # The names of other systems' documents are kept though two of them do not follow the rules for names.
    assert done.returncode in (0, 3), done.stderr
    told = done.stderr.decode()
    assert [line for line in told.splitlines() if "should" in line] == [], told


@pytest.fixture
def prometheus(app: Celery, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes this test's stack."""
    program("prometheus")
    with server.made("127.0.0.1", 0) as metrics:
        thread = threading.Thread(target=metrics.serve_forever, daemon=True)
        thread.start()
        made = Prometheus(tmp_path, f"127.0.0.1:{metrics.server_port}")
        try:
            yield made.wait_ready()
        finally:
            made.close()
            metrics.shutdown()
            thread.join(timeout=5)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_each_panel_each_name_and_each_rule_finds_something(
    scene: Scene, app: Celery, store: Store, valkey: Valkey, prometheus: Prometheus
) -> None:
    queries = {
        **{f"{file.stem}: {title}: {query}": query for file in DASHBOARDS for title, query in panels(file)},
        **{f"docs/metrics.md: {name}": query for name, query in mapped()},
        **{f"rule: {name}": name for name in recorded()},
    }
    missing = dict(queries)
    valkey.limit_memory(10**9)

    def all_found() -> bool:
        # A rate wants a counter that moves between two scrapes.
        for outcome in ("succeeded", "dead", "retried"):
            letters.publish(app, queue="bulk", org="acme", resource="mail")
            end(store, "bulk", outcome)
        for name, query in list(missing.items()):
            if any(found["value"][1] != "NaN" for found in prometheus.query(query)):
                del missing[name]
        return not missing

    assert prometheus.query("queueops_up") is not None
    try:
        eventually(all_found, within=300, what="something in each panel")
    finally:
        print("\n".join(["nothing found by:", *missing]))
    assert {found["value"][1] for found in prometheus.query("queueops_up")} == {"1"}
    [depth] = prometheus.query('queue_depth{queue="standard",state="leased"}')
    assert depth["value"][1] == "1"
