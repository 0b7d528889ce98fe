"""What clients tell sidecars of the span that they are called in."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from durabletask.aio import AsyncTaskHubGrpcClient
from durabletask.client import TaskHubGrpcClient

from support import wire
from support.fake_sidecar import FakeSidecar
from support.spans import SPANS, id_of, trace_of, tracer

# Calls a method of a client, of one of the two kinds.
Use = Callable[..., Any]


def use_sync(address: str, method: str, *arguments: Any) -> Any:
    with TaskHubGrpcClient(host_address=address) as client:
        return getattr(client, method)(*arguments)


def use_async(address: str, method: str, *arguments: Any) -> Any:
    async def use() -> Any:
        async with AsyncTaskHubGrpcClient(host_address=address) as client:
            return await getattr(client, method)(*arguments)

    return asyncio.run(use())


@pytest.fixture(params=[use_sync, use_async])
def use(request: pytest.FixtureRequest) -> Any:
    return request.param


class Sidecar:
    """Remembers what it was asked, and with which metadata."""

    def __init__(self, fake: FakeSidecar):
        self.address = fake.address
        self.request = b""
        self.metadata: dict[str, str | bytes] = {}
        self.refuses = False
        fake.handlers["StartInstance"] = self._take
        fake.handlers["RaiseEvent"] = self._take

    def _take(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.request = request
        self.metadata = dict(context.invocation_metadata())
        if self.refuses:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "there is one")
        return wire.message((1, "instance"))


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    with FakeSidecar() as fake:
        yield Sidecar(fake)


def traceparent(span: Any) -> str:
    flags = span.get_span_context().trace_flags
    return f"00-{trace_of(span):032x}-{id_of(span):016x}-{flags:02x}"


def test_the_current_span_is_sent_with_a_start(sidecar: Sidecar, use: Use) -> None:
    state = trace.TraceState([("vendor", "1")])
    above = trace.SpanContext(uuid4().int, 8, True, trace.TraceFlags(1), state)
    context = trace.set_span_in_context(trace.NonRecordingSpan(above))
    with tracer().start_as_current_span("caller", context=context) as span:
        use(sidecar.address, "schedule_new_orchestration", "greet")
    assert wire.string(sidecar.request, 9, 1) == traceparent(span)
    assert wire.string(sidecar.request, 9, 3, 1) == "vendor=1"
    assert sidecar.metadata["traceparent"] == traceparent(span)
    assert sidecar.metadata["tracestate"] == "vendor=1"
    assert [each.name for each in SPANS.of_trace(trace_of(span))] == ["caller"]


def test_the_current_span_is_sent_with_an_event(sidecar: Sidecar, use: Use) -> None:
    with tracer().start_as_current_span("caller") as span:
        use(sidecar.address, "raise_orchestration_event", "instance", "go")
    assert sidecar.metadata["traceparent"] == traceparent(span)


def test_a_start_without_a_current_span_gets_one(sidecar: Sidecar, use: Use) -> None:
    tracer()
    use(sidecar.address, "schedule_new_orchestration", "rooted")
    span = SPANS.find(lambda each: each.name == "create_orchestration: rooted")[-1]
    assert span.parent is None
    assert wire.string(sidecar.request, 9, 1) == traceparent(span)
    assert span.attributes is not None
    assert span.attributes["durabletask.task.name"] == "rooted"
    assert span.attributes["durabletask.task.instance_id"] == wire.string(sidecar.request, 1)
    assert span.status.status_code is StatusCode.UNSET


def test_a_start_that_is_refused_is_an_error_of_that_span(sidecar: Sidecar, use: Use) -> None:
    tracer()
    sidecar.refuses = True
    with pytest.raises(grpc.RpcError):
        use(sidecar.address, "schedule_new_orchestration", "refused")
    span = SPANS.find(lambda each: each.name == "create_orchestration: refused")[-1]
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]


def test_an_unsampled_span_is_sent_as_such(sidecar: Sidecar, use: Use) -> None:
    context = trace.SpanContext(7, 8, True, trace.TraceFlags(0))
    with trace.use_span(trace.NonRecordingSpan(context)):
        use(sidecar.address, "schedule_new_orchestration", "greet")
    assert wire.string(sidecar.request, 9, 1) == f"00-{7:032x}-{8:016x}-00"


UNTRACED = """
import sys
{before}
from durabletask.client import TaskHubGrpcClient
import durabletask.aio, durabletask.worker
with TaskHubGrpcClient(host_address={address!r}) as client:
    client.schedule_new_orchestration("greet")
    client.raise_orchestration_event("instance", "go")
found = [name for name, module in sys.modules.items() if name.startswith("opentelemetry") and module]
assert not found, found
"""


@pytest.mark.parametrize("before", ["", "sys.modules['opentelemetry'] = None"])
def test_a_program_that_does_not_trace_imports_and_sends_nothing(
    sidecar: Sidecar, before: str
) -> None:
    program = UNTRACED.format(before=before, address=sidecar.address)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert "traceparent" not in sidecar.metadata


def test_a_program_with_the_api_alone_sends_nothing(sidecar: Sidecar) -> None:
    program = UNTRACED.format(before="from opentelemetry import trace", address=sidecar.address)
    program = program.replace("assert not found, found", "assert found")
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert "traceparent" not in sidecar.metadata


def test_what_tracing_raises_is_not_the_call_s_trouble(
    sidecar: Sidecar, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracer()

    def broken(*_: Any, **__: Any) -> Any:
        raise OSError("broken")

    provider: Any = trace.get_tracer_provider()
    monkeypatch.setattr(type(provider), "get_tracer", broken)
    monkeypatch.setattr("durabletask._tracing.Telemetry.current", broken)
    use(sidecar.address, "schedule_new_orchestration", "greet")
    use(sidecar.address, "raise_orchestration_event", "instance", "go")
