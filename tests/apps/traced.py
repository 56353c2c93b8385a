"""The ledger's app with OpenTelemetry: every span is a line of JSON in the file TRACED_SPANS."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from tests.apps.ledger import app

__all__ = ["app"]


class File(SpanExporter):
    """Appends whole lines, so that processes may share the file."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with open(os.environ["TRACED_SPANS"], "a", encoding="utf-8") as file:
            file.write("".join(json.dumps(json.loads(span.to_json())) + "\n" for span in spans))
        return SpanExportResult.SUCCESS


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(File()))
trace.set_tracer_provider(provider)
