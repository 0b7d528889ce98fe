"""OpenTelemetry, as far as clients and workers have to do with it.

Nothing here imports it on its own account before a worker starts: a program that has not imported it has no span to
hand on. What a tracer, a sampler or a processor raises is never the work's trouble: it is logged, the first time, and
the work goes on without a span.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Any, ClassVar, NamedTuple

_MODULE = "opentelemetry.trace"


def _logger() -> logging.Logger:
    # Not made on import: `logging.config` disables loggers that exist before it.
    return logging.getLogger("durabletask.tracing")


class TraceContext(NamedTuple):
    """A span to be a parent, as W3C's Trace Context writes it."""

    parent: str
    state: str | None

    @property
    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The same as metadata of a call."""
        parent = ("traceparent", self.parent)
        return (parent,) if self.state is None else (parent, ("tracestate", self.state))


class Telemetry:
    """The API of OpenTelemetry: `trace`, and the W3C format."""

    def __init__(self) -> None:
        from opentelemetry import context, trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.trace: Any = trace
        self._context: Any = context
        self._propagator: Any = TraceContextTextMapPropagator()
        self._tracers: dict[str, tuple[Any, Any]] = {}

    def is_set_up(self) -> bool:
        """Whether the program has said where spans go."""
        provider = self.trace.get_tracer_provider()
        return not isinstance(
            provider, (self.trace.ProxyTracerProvider, self.trace.NoOpTracerProvider)
        )

    def tracer(self, scope: str) -> Any:
        """The tracer of today's provider."""
        provider = self.trace.get_tracer_provider()
        known = self._tracers.get(scope)
        if known is None or known[0] is not provider:
            known = self._tracers[scope] = provider, provider.get_tracer(scope)
        return known[1]

    def context_of(self, parent: str | None, state: str | None) -> Any:
        """The context below a span of somewhere else; an empty one if that can not be read."""
        carrier = {"traceparent": parent} if parent else {}
        if state:
            carrier["tracestate"] = state
        return self._propagator.extract(carrier, context=self._context.Context())

    def empty_context(self) -> Any:
        """The context of what has no parent."""
        return self._context.Context()

    def written(self, span: Any) -> TraceContext | None:
        """What to send, to make something a child of a span."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, context=self.trace.set_span_in_context(span))
        parent = carrier.get("traceparent")
        return None if parent is None else TraceContext(parent, carrier.get("tracestate"))

    def current(self) -> TraceContext | None:
        """The span that is current here and now."""
        return self.written(self.trace.get_current_span())

    def failed(self, span: Any, error: BaseException) -> None:
        """Say on a span what went wrong."""
        span.record_exception(error)
        status = self.trace.Status(self.trace.StatusCode.ERROR, f"{type(error).__name__}: {error}")
        span.set_status(status)


class Guard:
    """Keeps what OpenTelemetry raises from the work; `with Guard("…"):`."""

    _said: ClassVar[set[str]] = set()

    def __init__(self, doing: str):
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        level = logging.DEBUG if self._doing in Guard._said else logging.WARNING
        Guard._said.add(self._doing)
        _logger().log(
            level, "OpenTelemetry failed at %s; going on without.", self._doing, exc_info=error
        )
        return True


_lock = threading.Lock()
_telemetry: Telemetry | None = None


def telemetry(*, importing: bool = False) -> Telemetry | None:
    """OpenTelemetry, if the program has imported it; with `importing`, if it is installed."""
    global _telemetry
    if _telemetry is None and (importing or sys.modules.get(_MODULE) is not None):
        with _lock:
            if _telemetry is None:
                try:
                    _telemetry = Telemetry()
                except ImportError:
                    return None
                except Exception:
                    _logger().debug("OpenTelemetry can not be imported", exc_info=True)
                    return None
    return _telemetry


def current() -> TraceContext | None:
    """The span that is current here and now, if there is any."""
    api = telemetry()
    if api is None:
        return None
    with Guard("reading the current span"):
        return api.current()
    return None


def scheduling(name: str, instance_id: str) -> AbstractContextManager[TraceContext | None]:
    """What the start of an orchestration is a child of: the current span, or a span for as long as the context is open.

    None if the program does not trace.
    """
    api = telemetry()
    if api is None:
        return nullcontext()
    with Guard("reading the current span"):
        context = api.current()
        if context is not None or not api.is_set_up():
            return nullcontext(context)
    return _scheduling_span(api, name, instance_id)


@contextmanager
def _scheduling_span(api: Telemetry, name: str, instance_id: str) -> Iterator[TraceContext | None]:
    span = context = None
    with Guard("starting a span"):
        span = api.tracer("durabletask.client").start_span(
            f"create_orchestration: {name}",
            context=api.empty_context(),
            kind=api.trace.SpanKind.PRODUCER,
            attributes={
                "durabletask.type": "orchestration",
                "durabletask.task.name": name,
                "durabletask.task.instance_id": instance_id,
            },
        )
        context = api.written(span)
    try:
        yield context
    except BaseException as error:
        with Guard("recording an error"):
            if span is not None:
                api.failed(span, error)
        raise
    finally:
        with Guard("ending a span"):
            if span is not None:
                span.end()
