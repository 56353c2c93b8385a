"""Traces: the context of whoever publishes goes with the job through waits, retries and replays to its runs.

Uses OpenTelemetry's API alone; where spans go is decided by the SDK that the project configures. On by
QUEUEOPS["TRACING"], or by the environment that OpenTelemetry itself reads; otherwise nothing of this is
imported and no job pays for it. See docs/tracing.md.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from queueops.conf import config
from queueops.engine.rules.states import OutcomeKind
from queueops.middleware.chain import Envelope, Job, Middleware, Outcome

__all__ = ["HEADER", "Publishes", "Runs"]

#: The key of our header under which the context travels.
HEADER = "trace"
#: Where the span of a run is kept, on Celery's request.
_KEPT = "queueops_span"
#: Says that a run of this thread has the current span.
_RUNNING = context.create_key("queueops-run")


class Publishes(Middleware):
    """A span for each enqueue and each retry; the last of its chain, to tell what the others have decided."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("queueops")

    def before_publish(self, envelope: Envelope) -> None:
        """Note the enqueue (or retry), and send its context along."""
        name = "retry" if envelope.is_retry else "enqueue"
        attempt = int(envelope.headers.get("retries") or 0) + 1
        said = _attributes(name, "send", envelope.task, envelope.task_id, envelope.queue, attempt)
        said |= {
            "queueops.org": envelope.org or config().default_org,
            "queueops.resource": envelope.resource,
        }
        span = self._tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=said)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        # The broker's answer belongs to many publishes at once; the span says when and from where.
        span.end()
        if carrier:
            envelope.header[HEADER] = carrier


class Runs(Middleware):
    """A span for each run; the first of its chain, so that it holds what the others do, a retry too."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("queueops")

    def before_run(self, job: Job) -> None:
        """Begin the span of the run, the current one until its end."""
        span, token = self._start(job), None
        # The jobs of a batch run together: the first of them is the current one, for all.
        if context.get_value(_RUNNING) is None:
            token = context.attach(context.set_value(_RUNNING, True, trace.set_span_in_context(span)))
        setattr(job.request, _KEPT, (span, token))

    def after_run(self, job: Job, outcome: Outcome) -> None:
        """End the span of the run with its outcome."""
        kept = getattr(job.request, _KEPT, None)
        if kept is None:
            # The child that ran it is gone, or a member refused the run before it began.
            span = self._start(job, start_time=time.time_ns() - int(outcome.run_ms * 1e6))
        else:
            setattr(job.request, _KEPT, None)
            span, token = kept
            if token is not None:
                context.detach(token)
        span.set_attribute("queueops.outcome", outcome.kind.value)
        if outcome.error is not None and outcome.kind in (OutcomeKind.RETRIED, OutcomeKind.DEAD):
            span.set_attribute("error.type", type(outcome.error).__name__)
            span.record_exception(outcome.error)
            span.set_status(Status(StatusCode.ERROR, str(outcome.error)[:200]))
        if outcome.delay_seconds is not None:
            span.set_attribute("queueops.delay_seconds", outcome.delay_seconds)
        span.end()

    def _start(self, job: Job, start_time: int | None = None) -> Span:
        carrier = job.header.get(HEADER)
        parent = propagate.extract(carrier) if isinstance(carrier, Mapping) else context.Context()
        said = _attributes("run", "process", job.name, job.task_id, job.queue, job.attempt)
        said |= {"queueops.org": job.org, "queueops.resource": job.resource}
        return self._tracer.start_span(
            "run", parent, SpanKind.CONSUMER, attributes=said, start_time=start_time
        )


def _attributes(verb: str, kind: str, task: str, task_id: str, queue: str, attempt: int) -> dict[str, Any]:
    # Names of OpenTelemetry's conventions for messaging, then ours.
    return {
        "messaging.system": "queueops",
        "messaging.operation.name": verb,
        "messaging.operation.type": kind,
        "messaging.destination.name": queue,
        "messaging.message.id": task_id,
        "queueops.task": task,
        "queueops.attempt": attempt,
    }
