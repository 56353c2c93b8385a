"""Spans of runs that go side by side in one thread."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from queueops.engine.rules.states import OutcomeKind
from queueops.middleware.chain import Job, Outcome
from queueops.middleware.tracing import Runs


def job(task_id: str) -> Job:
    request: Any = SimpleNamespace(id=task_id, retries=0, delivery_info={"routing_key": "bulk"})
    return Job(SimpleNamespace(name="shop.pay"), request, (), {}, {"org": "acme"}, None)  # type: ignore[arg-type]


def traced() -> tuple[Runs, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    runs = Runs()
    runs._tracer = provider.get_tracer("queueops")
    return runs, exporter


def test_the_jobs_of_a_batch_leave_no_span_behind() -> None:
    runs, exporter = traced()
    batch = [job(str(number)) for number in range(3)]
    for one in batch:
        runs.before_run(one)
    current = trace.get_current_span()
    for one in batch:
        runs.after_run(one, Outcome(OutcomeKind.SUCCEEDED, 1.0))

    assert not trace.get_current_span().get_span_context().is_valid
    spans = exporter.get_finished_spans()
    assert [span.attributes["messaging.message.id"] for span in spans] == ["0", "1", "2"]
    assert current.get_span_context() == spans[0].get_span_context()


def test_a_run_that_nobody_saw_begin_has_a_span_of_its_length() -> None:
    runs, exporter = traced()
    before = context.get_current()
    runs.after_run(job("lost"), Outcome(OutcomeKind.DEAD, 250.0, RuntimeError("killed")))

    [span] = exporter.get_finished_spans()
    assert (span.end_time - span.start_time) / 1e6 >= 250
    assert span.attributes["error.type"] == "RuntimeError"
    assert span.parent is None
    assert context.get_current() == before
