"""Every metric that a page, a panel or a rule names exists; every name of the other systems leads to one."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable

import click
import pytest
import yaml

from queueops.metrics.families import FAMILIES, markdown

from .conftest import Scene, Scrape
from .promql import DASHBOARDS, ROOT, RULES, mapped, names, panels, recorded, rules

#: The metrics that the documents of the systems before this one name.
WANTED = {
    "queue_depth",
    "queue_job_total",
    "queue_retry_total",
    "queue_wait_seconds",
    "queue_run_seconds",
    "queue_waiting_jobs",
    "queue_active_jobs",
    "queue_completed_total",
    "queue_failed_total",
    "queue_wait_time_seconds",
    "queue_processing_time_seconds",
    "jobs_enqueued_total",
    "jobs_completed_total",
    "jobs_failed_total",
    "job_duration_seconds",
    "queue_latency_seconds",
    "workers_active",
    "worker_jobs_processing",
}


def test_the_page_lists_every_metric_with_what_it_says() -> None:
    assert markdown() in (ROOT / "docs" / "metrics.md").read_text()
    for name, family in FAMILIES.items():
        assert 20 <= len(family.help) <= 240, name
        assert family.help.endswith("."), name


def test_everything_that_is_named_exists_in_a_scrape(scene: Scene, scrape: Callable[[], Scrape]) -> None:
    known = {*scrape().names, *recorded()}
    used = {
        **{f"{file.name}: {title}": names(query) for file in DASHBOARDS for title, query in panels(file)},
        **{
            f"{file.name}: {rule.get('record') or rule['alert']}": names(rule["expr"])
            for file in RULES
            for rule in rules(file)
        },
        **{f"docs/metrics.md: {name}": names(query) for name, query in mapped()},
    }

    assert {where: missing for where, found in used.items() if (missing := found - known)} == {}
    assert all(used.values()), "an expression in which no metric was found"


def test_every_name_of_the_other_systems_is_ours_or_mapped_and_recorded() -> None:
    table = dict(mapped())
    ours = {f"{name}_total" if family.type == "counter" else name for name, family in FAMILIES.items()}

    assert WANTED - set(table) == set()
    for name in WANTED - ours:
        assert recorded() & {name, f"{name}_bucket"}, f"no rule records {name}"
    assert recorded() & ours == set(), "a rule must not record what a scrape says"


def test_the_dashboards_are_those_that_operators_know() -> None:
    found = {file.stem: json.loads(file.read_text()) for file in DASHBOARDS}

    assert {name: board["uid"] for name, board in found.items()} == {
        name: name for name in ("queues-overview", "queue-details", "queue-org-stats")
    }
    source = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    [uid] = {one["uid"] for one in source["datasources"]}
    for board in found.values():
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))
        for panel in board["panels"]:
            assert panel["datasource"]["uid"] == uid
            assert panel["title"] and panel["description"]
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
    titles = {panel["title"] for board in found.values() for panel in board["panels"]}
    wanted = {"Depth by state", "Jobs per second", "Duration p99", "Failed in 1 h", "Dead letters"}
    assert wanted | {"Wait p50 and p95", "Share by org", "Wait by org"} <= titles


def test_every_alert_is_on_the_page_and_names_commands_that_exist() -> None:
    from queueops.cli.root import root

    page = (ROOT / "docs" / "metrics.md").read_text()
    alerts = [rule for file in RULES for rule in rules(file) if "alert" in rule]
    assert len(alerts) >= 15
    for rule in alerts:
        assert f"`{rule['alert']}` ({rule['labels']['severity']})" in page
        for text in re.findall(r"`queueops ([^`]*)`", " ".join(rule["annotations"].values())):
            command(root, shlex.split(re.sub(r"\{\{.*?\}\}", "bulk", text)))


def command(root: click.Command, words: list[str]) -> None:
    """Fail unless the words name a command, and options that it has."""
    found = root
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        with click.Context(found) as context:
            below = found.get_command(context, words[0])
        assert below is not None, words
        found, words = below, words[1:]
    options = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options


def test_docker_compose_mounts_what_is_there() -> None:
    stack = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for name in ("metrics", "prometheus", "grafana"):
        assert stack["services"][name]["profiles"] == ["monitoring"]
        for volume in stack["services"][name].get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in stack["volumes"]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('sum by (queue) (rate(a_total{x="b"}[5m]))', {"a_total"}),
        ("histogram_quantile(0.9, sum by (le, q) (a:b)) or vector(0)", {"a:b"}),
        ("a == 0 and on () b offset 10m > 5 * c / 36", {"a", "b", "c"}),
    ],
)
def test_metrics_are_found_in_an_expression(expression: str, found: set[str]) -> None:
    assert names(expression) == found
