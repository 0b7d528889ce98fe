"""OpenTelemetry as a program sets it up, with spans kept in memory; one provider for the process, as the API wants."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult


class Spans(SpanExporter):
    """All spans of this process that have ended, by trace."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []
        self._changed = threading.Condition()
        self.failing: Callable[[ReadableSpan], bool] = lambda _: False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if any(self.failing(span) for span in spans):
            raise OSError("the collector is away")
        with self._changed:
            self._spans.extend(spans)
            self._changed.notify_all()
        return SpanExportResult.SUCCESS

    def of_trace(self, trace_id: int) -> list[ReadableSpan]:
        """What has ended of one trace so far, in the order of its beginning."""
        with self._changed:
            found = [span for span in self._spans if span.context.trace_id == trace_id]
        return sorted(found, key=lambda span: span.start_time or 0)

    def find(self, found: Callable[[ReadableSpan], bool], count: int = 1) -> list[ReadableSpan]:
        """Wait until there are as many spans of a kind."""
        deadline = time.monotonic() + 30
        with self._changed:
            while True:
                those = [span for span in self._spans if found(span)]
                if len(those) >= count:
                    return those
                names = [span.name for span in self._spans[-20:]]
                left = deadline - time.monotonic()
                assert left > 0, (
                    f"expected {count} such spans, found {len(those)}; the last: {names}"
                )
                self._changed.wait(left)


SPANS = Spans()


def tracer() -> trace.Tracer:
    """The tracer of the test, as a program has it; sets tracing up at first."""
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(SPANS))
        trace.set_tracer_provider(provider)
    return trace.get_tracer("test")


def parent_of(span: ReadableSpan) -> int | None:
    """The id of the span above."""
    return None if span.parent is None else span.parent.span_id


def id_of(span: Any) -> int:
    """Its own id."""
    context: trace.SpanContext = span.get_span_context()
    return context.span_id


def trace_of(span: Any) -> int:
    """The id of its trace."""
    context: trace.SpanContext = span.get_span_context()
    return context.trace_id
