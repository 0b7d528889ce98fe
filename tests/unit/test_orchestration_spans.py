"""Spans of orchestrations: made once, with ids that follow from the execution's."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from opentelemetry import trace

from durabletask._worker.tracing import OrchestrationSpans

from support.spans import SPANS, id_of, parent_of, tracer


def facts(trace_id: int, execution_id: str, *timers: int) -> tuple[Any, Any, Any]:
    """What the engine tells of a turn that ended an execution, in which timers had fired."""
    now = time.time_ns() // 1000
    parent = f"00-{trace_id:032x}-b7ad6b7169203331-01"
    execution = ("instance", execution_id, "order", None, now - 5_000_000, parent, None)
    fired = [(timer, now - 2_000_000, now - 1_000_000) for timer in timers]
    return execution, fired, ("COMPLETED", None, None, now)


def test_a_turn_that_is_told_again_makes_no_span_anew() -> None:
    tracer()
    trace_id, spans = uuid.uuid4().int, OrchestrationSpans()
    told = facts(trace_id, str(uuid.uuid4()), 2, 3)
    for _ in range(3):
        spans.turn(*told)
    names = sorted(span.name for span in SPANS.of_trace(trace_id))
    assert names == ["orchestration: order", "timer", "timer"]


def test_another_worker_gives_the_same_ids() -> None:
    tracer()
    trace_id = uuid.uuid4().int
    told = facts(trace_id, str(uuid.uuid4()), 2)
    for _ in range(2):
        OrchestrationSpans().turn(*told)
    spans = SPANS.of_trace(trace_id)
    assert len(spans) == 4
    assert len({(span.name, id_of(span), parent_of(span)) for span in spans}) == 2


def test_the_id_is_the_one_that_the_embedded_sidecar_hands_to_activities() -> None:
    tracer()
    trace_id = uuid.uuid4().int
    OrchestrationSpans().turn(*facts(trace_id, "first-run"))
    (span,) = SPANS.of_trace(trace_id)
    assert f"{id_of(span):016x}" == "a924ca465fdb55a8"


class OfAnotherMake(trace.Tracer):
    """A tracer around the SDK's that does not show it."""

    def __init__(self, inner: trace.Tracer):
        self._inner = inner

    def start_span(self, *arguments: Any, **keywords: Any) -> trace.Span:
        return self._inner.start_span(*arguments, **keywords)

    def start_as_current_span(self, *arguments: Any, **keywords: Any) -> Any:
        return self._inner.start_as_current_span(*arguments, **keywords)


class Around(OfAnotherMake):
    """One that does, as Logfire's."""

    def __init__(self, inner: trace.Tracer):
        self.tracer = inner

    @property
    def _inner(self) -> trace.Tracer:  # type: ignore[override]
        return self.tracer


@pytest.mark.parametrize(("kind", "takes_ids"), [(OfAnotherMake, False), (Around, True)])
def test_tracers_of_another_make_make_the_span_in_the_same_trace(
    kind: type[OfAnotherMake], takes_ids: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = kind(tracer())
    monkeypatch.setattr("durabletask._tracing.Telemetry.tracer", lambda *_: theirs)
    trace_id = uuid.uuid4().int
    OrchestrationSpans().turn(*facts(trace_id, "first-run"))
    (span,) = SPANS.of_trace(trace_id)
    assert span.name == "orchestration: order"
    assert (f"{id_of(span):016x}" == "a924ca465fdb55a8") is takes_ids
    assert parent_of(span) == 0xB7AD6B7169203331
