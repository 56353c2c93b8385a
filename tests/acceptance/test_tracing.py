"""One trace from the publisher through a wait and a retry to the last run; logs that name the job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from queueops.engine.rules.settings import load
from queueops.middleware.chain import Chain
from queueops.ops import messages
from tests.support.polling import eventually
from tests.support.stack import QUICK, Stack
from tests.support.worker import ROOT, environment

POLICY = {"RETRY_POLICIES": {"standard": {"base_seconds": 0.2, "cap_seconds": 60, "attempts": 3}}}

PUBLISH = """
from opentelemetry import trace
from tests.apps.traced import app
with trace.get_tracer("shop").start_as_current_span("request") as request:
    result = app.tasks["ledger.fail"].apply_async(("job", 1), countdown=0.3, queue="standard", org="acme")
print(result.id)
"""


def publish(stack: Stack, env: dict[str, str]) -> str:
    """Publish one job in a process of its own, within a span; returns its id."""
    settings = {
        **QUICK,
        "QUEUEOPS_BROKER_URL": stack.broker.broker_url,
        "LEDGER_URL": stack.ledger.url,
        "LEDGER_NAMESPACE": stack.ledger.namespace,
        **env,
    }
    done = subprocess.run(
        [sys.executable, "-c", PUBLISH],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


def spans(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_job_is_one_trace_from_its_publisher_to_its_last_run(stack: Stack, pool: str) -> None:
    path = stack.folder / "spans.jsonl"
    env = {"TRACED_SPANS": str(path), "QUEUEOPS_TRACING": "1"}
    worker = stack.worker(
        app="tests.apps.traced",
        pool=pool,
        concurrency=1,
        env={**env, "QUEUEOPS_LOG": "json"},
        settings=POLICY,
    )
    job = publish(stack, env)

    def all_spans() -> list[dict[str, Any]]:
        seen = spans(path)
        return seen if len(seen) == 5 else []

    found = eventually(all_spans, within=30, what="all spans")
    by_name: dict[str, list[dict[str, Any]]] = {}
    for span in sorted(found, key=lambda one: one["start_time"]):
        by_name.setdefault(span["name"], []).append(span)
    assert {name: len(some) for name, some in by_name.items()} == {
        "request": 1,
        "enqueue": 1,
        "run": 2,
        "retry": 1,
    }
    [request], [enqueue], [retry], [first, second] = (
        by_name[name] for name in ("request", "enqueue", "retry", "run")
    )
    assert len({span["context"]["trace_id"] for span in found}) == 1
    assert [enqueue["parent_id"], first["parent_id"], retry["parent_id"], second["parent_id"]] == [
        span["context"]["span_id"] for span in (request, enqueue, first, retry)
    ]
    assert (enqueue["kind"], first["kind"]) == ("SpanKind.PRODUCER", "SpanKind.CONSUMER")
    said = first["attributes"]
    assert said["messaging.message.id"] == job
    assert said["messaging.destination.name"] == "standard"
    assert (said["queueops.org"], said["queueops.task"]) == ("acme", "ledger.fail")
    assert [span["attributes"]["queueops.attempt"] for span in (first, retry, second)] == [1, 2, 2]
    assert [span["attributes"]["queueops.outcome"] for span in (first, second)] == ["retried", "succeeded"]
    assert first["attributes"]["error.type"] == "Refused"
    assert [first["status"]["status_code"], second["status"]["status_code"]] == ["ERROR", "UNSET"]

    def lines() -> list[dict[str, Any]]:
        text = [line for line in worker.log().splitlines() if line.startswith("{")]
        return [one for one in map(json.loads, text) if one.get("job") == job]

    told = eventually(
        lambda: [one for one in lines() if "succeeded in" in one["message"]], within=20, what="its success"
    )[0]
    assert (told["task"], told["org"], told["queue"], told["attempt"]) == (
        "ledger.fail",
        "acme",
        "standard",
        2,
    )
    [warned] = [one for one in lines() if one["logger"] == "queueops.jobs"]
    assert (warned["level"], warned["attempt"], warned["org"]) == ("warning", 1, "acme")
    assert warned["trace_id"] == first["context"]["trace_id"].removeprefix("0x")


def test_without_settings_nothing_is_traced(stack: Stack) -> None:
    path = stack.folder / "spans.jsonl"
    stack.worker(app="tests.apps.traced", pool="threads", concurrency=1, env={"TRACED_SPANS": str(path)})
    publish(stack, {"TRACED_SPANS": str(path)})
    stack.wait_started("job")

    [request] = spans(path)
    assert request["name"] == "request"
    with stack.broker.client() as client:
        assert '"trace"' not in "".join(str(client.get(key)) for key in client.keys("qo1:job:*"))


def test_a_replay_goes_on_in_the_trace() -> None:
    header = {"org": "acme", "trace": {"traceparent": "00-1-2-01"}}
    envelope = {
        "headers": {"queueops": header, "retries": 2},
        "properties": {"delivery_tag": "t"},
        "body": "[[], {}, {}]",
        "content-type": "application/json",
    }
    message = messages.read(json.dumps(envelope))
    fresh = messages.refreshed(message, tag="r1", replay={"letter": 1})
    assert fresh["headers"]["queueops"]["trace"] == header["trace"]


@pytest.mark.parametrize(
    ("env", "on"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "shop"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({"QUEUEOPS_TRACING": "0", "OTEL_TRACES_EXPORTER": "otlp"}, False),
        ({"QUEUEOPS_TRACING": "1"}, True),
    ],
)
def test_it_is_on_where_somebody_wants_it(env: dict[str, str], on: bool) -> None:
    settings = load({}, {}, env)
    assert settings.tracing is on
    members = [type(member).__name__ for member in Chain(settings).members]
    assert (members[0] == "Runs", members[-1] == "Publishes") == (on, on)
    assert ("Runs" in members) is on
