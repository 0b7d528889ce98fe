"""One trace from the client down: orchestrations, activities, timers and children, each once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from durabletask.client import OrchestrationState, TaskHubGrpcClient
from durabletask.sidecar import Sidecar
from durabletask.task import ActivityContext, OrchestrationContext, RetryPolicy, when_all
from durabletask.worker import ReplayCacheOptions, TaskHubGrpcWorker

from support.sidecar import GIVEN
from support.spans import SPANS, id_of, parent_of, trace_of, tracer

pytestmark = pytest.mark.sidecars("embedded", reason="makes the spans of orchestrations itself")

SOON = 60


def own_span() -> str:
    """What an activity sees as the current span."""
    return f"{id_of(trace.get_current_span()):016x}"


def sync_activity(ctx: ActivityContext, value: Any) -> str:
    time.sleep(0.001)
    return own_span()


async def async_activity(ctx: ActivityContext, value: Any) -> str:
    before = own_span()
    await asyncio.sleep(0.001)
    assert own_span() == before
    return before


def awaitable_activity(ctx: ActivityContext, value: Any) -> Any:
    """A function that is not asynchronous, and returns what is to be awaited."""
    assert own_span() != "0" * 16
    return async_activity(ctx, value)


def broken(ctx: ActivityContext, value: Any) -> None:
    raise ValueError("no money")


def child(ctx: OrchestrationContext, value: Any) -> Any:
    return (yield ctx.call_activity(sync_activity))


def everything(ctx: OrchestrationContext, value: Any) -> Any:
    first = yield ctx.call_activity(sync_activity)
    second = yield ctx.call_activity(async_activity)
    third = yield ctx.call_activity(awaitable_activity)
    yield ctx.create_timer(timedelta(milliseconds=20))
    fourth = yield ctx.call_sub_orchestrator(child)
    return [first, second, third, fourth]


def fails(ctx: OrchestrationContext, value: Any) -> Any:
    yield ctx.call_activity(broken)


def retries(ctx: OrchestrationContext, value: Any) -> Any:
    policy = RetryPolicy(first_retry_interval=timedelta(milliseconds=5), max_number_of_attempts=2)
    try:
        yield ctx.call_activity(broken, retry_policy=policy)
    except Exception:
        return "caught"


def eternal(ctx: OrchestrationContext, left: int) -> Any:
    yield ctx.call_activity(sync_activity)
    if left > 0:
        ctx.continue_as_new(left - 1)


def waits(ctx: OrchestrationContext, value: Any) -> Any:
    return (yield ctx.wait_for_external_event("go"))


def fans_out(ctx: OrchestrationContext, width: int) -> Any:
    return (yield when_all([ctx.call_activity(sync_activity) for _ in range(width)]))


ORCHESTRATORS = (child, everything, fails, retries, eternal, waits, fans_out)
ACTIVITIES = (sync_activity, async_activity, awaitable_activity, broken)

WARM, COLD = ReplayCacheOptions(), None


@contextmanager
def worker(address: str, cache: ReplayCacheOptions | None = WARM) -> Iterator[TaskHubGrpcWorker]:
    with TaskHubGrpcWorker(host_address=address, replay_cache=cache) as worker:
        for orchestrator in ORCHESTRATORS:
            worker.add_orchestrator(orchestrator)
        for activity in ACTIVITIES:
            worker.add_activity(activity)
        worker.start()
        yield worker


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    tracer()
    if GIVEN is not None:
        yield GIVEN
        return
    with Sidecar() as sidecar:
        yield sidecar.address


def run(
    client: TaskHubGrpcClient, orchestrator: Any, value: Any = None
) -> tuple[OrchestrationState, trace.Span]:
    """Run an orchestration inside a span of the test."""
    with tracer().start_as_current_span("caller") as caller:
        instance_id = client.schedule_new_orchestration(orchestrator, input=value)
    state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    assert state is not None
    return state, caller


def named(spans: list[ReadableSpan], name: str) -> ReadableSpan:
    (found,) = [span for span in spans if span.name == name]
    return found


@pytest.mark.parametrize("cache", [WARM, COLD], ids=["warm", "cold"])
def test_one_trace_has_all_of_it_once(
    address: str, client: TaskHubGrpcClient, cache: ReplayCacheOptions | None
) -> None:
    with worker(address, cache):
        state, caller = run(client, everything)
    state.raise_if_failed()
    spans = SPANS.of_trace(trace_of(caller))
    names = Counter(span.name for span in spans)
    assert names == {
        "caller": 1,
        "orchestration: everything": 1,
        "orchestration: child": 1,
        "activity: sync_activity": 2,
        "activity: async_activity": 1,
        "activity: awaitable_activity": 1,
        "timer": 1,
    }
    root, below = named(spans, "orchestration: everything"), named(spans, "orchestration: child")
    assert parent_of(root) == id_of(caller)
    assert parent_of(below) == id_of(root)
    activities = [span for span in spans if span.name.startswith("activity: ")]
    assert [parent_of(each) for each in activities] == [id_of(root)] * 3 + [id_of(below)]
    assert parent_of(named(spans, "timer")) == id_of(root)
    seen = [f'"{id_of(each):016x}"' for each in activities]
    assert state.serialized_output == f"[{', '.join(seen)}]", "each activity saw its own span"


def test_spans_last_as_long_as_what_they_stand_for(address: str, client: TaskHubGrpcClient) -> None:
    with worker(address):
        _, caller = run(client, everything)
    spans = SPANS.of_trace(trace_of(caller))
    times = {span.name: (span.start_time or 0, span.end_time or 0) for span in spans}
    began, ended = times["orchestration: everything"]
    for name in ("activity: async_activity", "timer", "orchestration: child"):
        assert began <= times[name][0] <= times[name][1] <= ended, name


def test_attributes_are_those_that_0_17_has_and_those_of_the_go_sidecar(
    address: str, client: TaskHubGrpcClient
) -> None:
    with worker(address):
        state, caller = run(client, child)
    spans = SPANS.of_trace(trace_of(caller))
    activity = named(spans, "activity: sync_activity").attributes
    assert activity == {
        "durabletask.task.instance_id": state.instance_id,
        "durabletask.task.id": 1,
        "durabletask.activity.name": "sync_activity",
    }
    assert named(spans, "orchestration: child").attributes == {
        "durabletask.type": "orchestration",
        "durabletask.task.name": "child",
        "durabletask.task.instance_id": state.instance_id,
        "durabletask.runtime_status": "COMPLETED",
    }


@pytest.mark.parametrize("cache", [WARM, COLD], ids=["warm", "cold"])
def test_failures_are_on_the_spans_of_what_failed(
    address: str, client: TaskHubGrpcClient, cache: ReplayCacheOptions | None
) -> None:
    with worker(address, cache):
        _, caller = run(client, fails)
    spans = SPANS.of_trace(trace_of(caller))
    activity, orchestration = (
        named(spans, "activity: broken"),
        named(spans, "orchestration: fails"),
    )
    assert activity.status.status_code is StatusCode.ERROR
    assert activity.status.description == "ValueError: no money"
    (event,) = activity.events
    assert event.attributes is not None
    assert event.attributes["exception.type"] == "ValueError"
    assert orchestration.status.status_code is StatusCode.ERROR
    assert "Activity task #1 failed: no money" in (orchestration.status.description or "")
    assert (orchestration.attributes or {})["durabletask.runtime_status"] == "FAILED"


@pytest.mark.parametrize("cache", [WARM, COLD], ids=["warm", "cold"])
def test_every_attempt_and_every_pause_has_a_span(
    address: str, client: TaskHubGrpcClient, cache: ReplayCacheOptions | None
) -> None:
    with worker(address, cache):
        _, caller = run(client, retries)
    names = Counter(span.name for span in SPANS.of_trace(trace_of(caller)))
    assert names == {
        "caller": 1,
        "orchestration: retries": 1,
        "activity: broken": 2,
        "timer": 1,
    }


def test_continued_as_new_each_execution_has_a_trace(
    address: str, client: TaskHubGrpcClient
) -> None:
    with worker(address):
        state, caller = run(client, eternal, 2)

    def is_one(span: ReadableSpan) -> bool:
        attributes = span.attributes or {}
        return (
            span.name == "orchestration: eternal"
            and attributes["durabletask.task.instance_id"] == state.instance_id
        )

    executions = SPANS.find(is_one, 3)
    assert len(executions) == len({trace_of(span) for span in executions}) == 3
    assert [parent_of(span) for span in executions] == [id_of(caller), None, None]
    statuses = [(span.attributes or {})["durabletask.runtime_status"] for span in executions]
    assert statuses == ["CONTINUED_AS_NEW", "CONTINUED_AS_NEW", "COMPLETED"]
    for execution in executions:
        spans = SPANS.of_trace(trace_of(execution))
        assert parent_of(named(spans, "activity: sync_activity")) == id_of(execution)


def test_the_worker_that_ends_an_orchestration_makes_its_span(
    address: str, client: TaskHubGrpcClient
) -> None:
    with worker(address):
        with tracer().start_as_current_span("caller") as caller:
            instance_id = client.schedule_new_orchestration(waits)
        client.wait_for_orchestration_start(instance_id, timeout=SOON)
        between = time.time_ns()
        assert [span.name for span in SPANS.of_trace(trace_of(caller))] == ["caller"]
    with worker(address):
        client.raise_orchestration_event(instance_id, "go")
        client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    span = named(SPANS.of_trace(trace_of(caller)), "orchestration: waits")
    assert (span.start_time or 0) < between < (span.end_time or 0)


def test_a_terminated_orchestration_has_its_span(address: str, client: TaskHubGrpcClient) -> None:
    with worker(address):
        with tracer().start_as_current_span("caller") as caller:
            instance_id = client.schedule_new_orchestration(waits)
        client.wait_for_orchestration_start(instance_id, timeout=SOON)
        client.terminate_orchestration(instance_id)
        client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    span = named(SPANS.of_trace(trace_of(caller)), "orchestration: waits")
    assert (span.attributes or {})["durabletask.runtime_status"] == "TERMINATED"


def test_what_is_not_sampled_makes_no_span(address: str, client: TaskHubGrpcClient) -> None:
    trace_id = 0xABCDEF
    above = trace.SpanContext(trace_id, 8, True, trace.TraceFlags(0))
    with worker(address):
        with trace.use_span(trace.NonRecordingSpan(above)):
            instance_id = client.schedule_new_orchestration(everything)
        state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    assert state is not None
    state.raise_if_failed()
    assert SPANS.of_trace(trace_id) == []


def test_many_at_a_time_keep_to_their_own_traces(address: str, client: TaskHubGrpcClient) -> None:
    with worker(address), ThreadPoolExecutor(50) as threads:
        results = list(threads.map(lambda _: run(client, everything), range(50)))
    for state, caller in results:
        state.raise_if_failed()
        spans = SPANS.of_trace(trace_of(caller))
        assert len(spans) == 8
        root = id_of(named(spans, "orchestration: everything"))
        activities = [span for span in spans if span.name.startswith("activity: ")]
        assert [parent_of(span) for span in activities[:3]] == [root] * 3
        seen = [f'"{id_of(each):016x}"' for each in activities]
        assert state.serialized_output == f"[{', '.join(seen)}]"


def test_a_wide_fan_out_is_one_trace(address: str, client: TaskHubGrpcClient) -> None:
    with worker(address):
        state, caller = run(client, fans_out, 100)
    state.raise_if_failed()
    spans = SPANS.of_trace(trace_of(caller))
    root = id_of(named(spans, "orchestration: fans_out"))
    activities = [span for span in spans if span.name == "activity: sync_activity"]
    assert len({id_of(span) for span in activities}) == 100
    assert {parent_of(span) for span in activities} == {root}


def test_an_exporter_that_raises_costs_nothing_but_the_spans(
    address: str, client: TaskHubGrpcClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SPANS, "failing", lambda span: True)
    with worker(address):
        state, _ = run(client, everything)
    state.raise_if_failed()


def test_a_processor_that_raises_costs_nothing_but_the_spans(
    address: str, client: TaskHubGrpcClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider: Any = trace.get_tracer_provider()

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("broken")

    processor = type(provider._active_span_processor)
    monkeypatch.setattr(processor, "on_end", broken)
    with worker(address):
        instance_id = client.schedule_new_orchestration(everything)
        state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
        assert state is not None
        state.raise_if_failed()
        monkeypatch.setattr(processor, "on_start", broken)
        instance_id = client.schedule_new_orchestration(child)
        state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    assert state is not None
    state.raise_if_failed()
