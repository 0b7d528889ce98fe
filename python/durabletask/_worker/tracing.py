"""Spans of what a worker runs: activities, and what orchestrations were and waited for.

An activity's span is made around it. An orchestration's can not be: its turns are seconds or months apart, on
whichever worker. It is made at its end, with the time at which it began; and since activities and children are
children of it long before, its id is not drawn but follows from the id of the execution, here as in the embedded
sidecar. The SDK asks an id generator for ids, so a tracer with another generator makes the span.
"""

from __future__ import annotations

import copy
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from durabletask import _core
from durabletask._tracing import Guard, Telemetry, telemetry

# The name that 0.17 has for its tracer.
_SCOPE = "durabletask.worker"

# `rust/sidecar/src/machine/trace.rs` has it too.
_SPAN_IDS = uuid.UUID("9a4d3c06-5f0e-4c58-8f0b-6f3b1c2d7e91")

# Spans that were made lately: a turn that is handed out again, since its answer got lost, makes none of them anew.
_REMEMBERED = 4096


def tracer() -> Any:
    """The tracer of the worker, or None without OpenTelemetry; 0.17's `worker.otel_tracer`."""
    api = telemetry(importing=True)
    return None if api is None else api.tracer(_SCOPE)


class ActivitySpan:
    """The span of one run of an activity; without OpenTelemetry, there is none of these."""

    def __init__(self, api: Telemetry, span: Any):
        self._api = api
        self._span = span

    def current(self) -> AbstractContextManager[Any]:
        """Makes it the current span of the code inside, and does not end it."""
        context: AbstractContextManager[Any] = self._api.trace.use_span(
            self._span, end_on_exit=False, record_exception=False, set_status_on_exception=False
        )
        return context

    async def around(self, awaitable: Awaitable[Any]) -> Any:
        """Awaits something with the span as the current one."""
        with self.current():
            return await awaitable

    def end(self, error: BaseException | None = None) -> None:
        """Ends it: with an error, if the activity failed."""
        if error is not None:
            with Guard("recording an error"):
                self._api.failed(self._span, error)
        with Guard("ending a span"):
            self._span.end()


def activity_span(item: _core.WorkItem) -> ActivitySpan | None:
    """Starts the span of an activity, below the one that the request names."""
    api = telemetry()
    if api is None:
        return None
    with Guard("starting a span"):
        if item.trace_parent is None and not api.is_set_up():
            return None  # nothing that could be seen of it
        span = api.tracer(_SCOPE).start_span(
            f"activity: {item.name}",
            context=api.context_of(item.trace_parent, item.trace_state),
            attributes={
                "durabletask.task.instance_id": item.instance_id,
                "durabletask.task.id": item.task_id,
                "durabletask.activity.name": item.name,
            },
        )
        return ActivitySpan(api, span)
    return None


class Execution(NamedTuple):
    """One execution of an orchestration, from its history."""

    instance_id: str
    execution_id: str
    name: str
    version: str | None
    started_micros: int
    trace_parent: str
    trace_state: str | None


class Timer(NamedTuple):
    """A timer that has fired."""

    task_id: int
    created_micros: int
    fired_micros: int


class End(NamedTuple):
    """How an execution ended."""

    status: str
    error_type: str | None
    error_message: str | None
    turn_micros: int


class OrchestrationSpans:
    """Makes the spans of orchestrations and of their timers, each once."""

    def __init__(self) -> None:
        self._made: OrderedDict[int, None] = OrderedDict()
        self._lock = threading.Lock()

    def wanted(self) -> bool:
        """Whether the program has said where spans go; asked once for each execution that is begun or replayed."""
        api = telemetry()
        if api is None:
            return False
        with Guard("looking for a tracer"):
            return api.is_set_up()
        return False

    def turn(
        self,
        execution: tuple[Any, ...],
        timers: list[tuple[Any, ...]],
        end: tuple[Any, ...] | None,
    ) -> None:
        """Called by the engine after a turn in which timers have fired, or the execution has ended."""
        api = telemetry()
        if api is None:
            return
        with Guard("making the spans of an orchestration"):
            of = Execution(*execution)
            for timer in timers:
                self._timer(api, of, Timer(*timer))
            if end is not None:
                self._execution(api, of, End(*end))

    def _timer(self, api: Telemetry, of: Execution, timer: Timer) -> None:
        own, parent = _span_id(of.execution_id), api.context_of(of.trace_parent, of.trace_state)
        above = api.trace.get_current_span(parent).get_span_context()
        if not above.is_valid:
            return
        below = api.trace.SpanContext(
            above.trace_id, own, True, above.trace_flags, above.trace_state
        )
        span = self._start(
            api,
            "timer",
            _span_id(f"{of.execution_id}#{timer.task_id}"),
            context=api.trace.set_span_in_context(
                api.trace.NonRecordingSpan(below), api.empty_context()
            ),
            start_time=timer.created_micros * 1000,
            attributes={
                "durabletask.type": "timer",
                "durabletask.task.instance_id": of.instance_id,
                "durabletask.task.task_id": timer.task_id,
            },
        )
        if span is not None:
            span.end(end_time=max(timer.fired_micros, timer.created_micros) * 1000)

    def _execution(self, api: Telemetry, of: Execution, end: End) -> None:
        own, context = _span_id(of.execution_id), api.context_of(of.trace_parent, of.trace_state)
        above = api.trace.get_current_span(context).get_span_context()
        trace_id = None
        if above.span_id == own:  # it begins a trace of its own, after one that continued as new
            trace_id, context = above.trace_id, api.empty_context()
        attributes = {
            "durabletask.type": "orchestration",
            "durabletask.task.name": of.name,
            "durabletask.task.instance_id": of.instance_id,
            "durabletask.runtime_status": end.status,
        }
        if of.version:
            attributes["durabletask.task.version"] = of.version
        span = self._start(
            api,
            f"orchestration: {of.name}",
            own,
            trace_id,
            context=context,
            kind=api.trace.SpanKind.SERVER,
            start_time=of.started_micros * 1000,
            attributes=attributes,
        )
        if span is None:
            return
        if end.error_type is not None:
            text = f"{end.error_type}: {end.error_message}"
            span.set_status(api.trace.Status(api.trace.StatusCode.ERROR, text))
        # The sidecar's clock may be another, or run ahead.
        micros = max(of.started_micros, end.turn_micros)
        span.end(end_time=max(time.time_ns(), micros * 1000))

    def _start(
        self, api: Telemetry, name: str, span_id: int, trace_id: int | None = None, **arguments: Any
    ) -> Any:
        """A span with an id that is given; None if it was made before."""
        with self._lock:
            if span_id in self._made:
                return None
            self._made[span_id] = None
            if len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)
        ordinary = api.tracer(_SCOPE)
        maker = _drawing(ordinary, span_id, trace_id) or ordinary
        return maker.start_span(name, **arguments)


def _span_id(text: str) -> int:
    return int.from_bytes(uuid.uuid5(_SPAN_IDS, text).bytes[:8], "big")


class _GivenIds:
    """An id generator that gives what it was given, and leaves all else to another."""

    def __init__(self, other: Any, span_id: int, trace_id: int | None):
        self._other = other
        self._span_id = span_id
        self._trace_id = trace_id

    def generate_span_id(self) -> int:
        return self._span_id

    def generate_trace_id(self) -> int:
        return self._other.generate_trace_id() if self._trace_id is None else self._trace_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._other, name)


def _drawing(tracer: Any, span_id: int, trace_id: int | None) -> Any:
    """A copy of a tracer whose next span has a given id; None if it is of a kind that can not do it.

    That is the SDK's tracer, or one around it, as Logfire's is. Others make the span with an id of their own: then its
    children show up beside it, in the same trace.
    """
    generator = getattr(tracer, "id_generator", None)
    if generator is not None:
        drawing = copy.copy(tracer)
        drawing.id_generator = _GivenIds(generator, span_id, trace_id)
        return drawing
    inner = getattr(tracer, "tracer", None)
    if inner is None:
        return None
    drawing = copy.copy(tracer)
    drawing.tracer = _drawing(inner, span_id, trace_id)
    return None if drawing.tracer is None else drawing
