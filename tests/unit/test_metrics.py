"""What workers count, by OpenTelemetry's metrics API."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from durabletask.client import TaskHubGrpcClient
from durabletask.sidecar import Sidecar
from durabletask.task import ActivityContext, OrchestrationContext, when_all
from durabletask.worker import ConcurrencyOptions, ReplayCacheOptions, TaskHubGrpcWorker

SOON = 60
READER = InMemoryMetricReader()

# From an instrument's name and its attributes to its value, or how often it was recorded.
Numbers = dict[tuple[str, frozenset[tuple[str, Any]]], float]


@pytest.fixture(scope="module", autouse=True)
def provider() -> None:
    """Set metrics up as a program does, once for the process."""
    metrics.set_meter_provider(MeterProvider([READER]))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with Sidecar() as sidecar:
        yield sidecar.address


def collect() -> Numbers:
    data = READER.get_metrics_data()
    found: Numbers = {}
    for resource in data.resource_metrics if data is not None else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    value: Any = getattr(point, "value", None)
                    key = metric.name, frozenset((point.attributes or {}).items())
                    found[key] = point.count if value is None else value  # type: ignore[union-attr]
    return found


def number(numbers: Numbers, name: str, **attributes: Any) -> float:
    wanted = frozenset(
        (f"durabletask.{key.replace('__', '.')}", value) for key, value in attributes.items()
    )
    return numbers.get((f"durabletask.worker.{name}", wanted), 0)


def collected_when(name: str, expected: float, **attributes: Any) -> Numbers:
    """Collect until a number is reached; work items arrive one after the other."""
    deadline = time.monotonic() + SOON
    while True:
        numbers = collect()
        found = number(numbers, name, **attributes)
        if found == expected:
            return numbers
        assert time.monotonic() < deadline, f"{name} {attributes}: expected {expected}, is {found}"
        time.sleep(0.01)


def hello(ctx: ActivityContext, value: Any) -> int:
    return 1


def steps(ctx: OrchestrationContext, count: int) -> Any:
    for _ in range(count):
        yield ctx.call_activity(hello)


def run(address: str, cache: ReplayCacheOptions | None) -> tuple[Numbers, Numbers]:
    """What is counted before and after a run of five steps, the worker having stopped."""
    before = collect()
    with (
        TaskHubGrpcWorker(host_address=address, replay_cache=cache) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        worker.add_orchestrator(steps)
        worker.add_activity(hello)
        worker.start()
        instance_id = client.schedule_new_orchestration(steps, input=5)
        state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
        assert state is not None
        state.raise_if_failed()
    return before, collect()


def test_turns_events_and_lookups_are_counted_warm(address: str) -> None:
    before, after = run(address, ReplayCacheOptions())

    def more(name: str, **attributes: Any) -> float:
        return number(after, name, **attributes) - number(before, name, **attributes)

    assert more("turns") == 6
    assert more("replay_cache.lookups", replay_cache__result="hit") == 5
    assert more("replay_cache.lookups", replay_cache__result="miss") == 0
    # Each turn has its beginning and what it is about, and the first one both of them of the execution.
    assert more("events", event__kind="new") == 12
    assert more("events", event__kind="replayed") == 0
    # Three events a turn: its two and the confirmation of the next call, which only the next turn hands over.
    assert more("events", event__kind="warm") == sum(3 * turn + 2 for turn in range(5))
    assert more("activity.duration", activity__name="hello") == 5


def test_turns_and_events_are_counted_cold(address: str) -> None:
    before, after = run(address, None)

    def more(name: str, **attributes: Any) -> float:
        return number(after, name, **attributes) - number(before, name, **attributes)

    assert more("turns") == 6
    assert more("replay_cache.lookups", replay_cache__result="hit") == 0
    assert more("events", event__kind="replayed") == sum(3 * turn for turn in range(6))
    assert more("events", event__kind="warm") == 0


def test_what_runs_and_what_waits_is_told(address: str) -> None:
    let_go, running = threading.Event(), threading.Semaphore(0)

    def wait(ctx: ActivityContext, value: Any) -> None:
        running.release()
        let_go.wait(SOON)

    def fan_out(ctx: OrchestrationContext, width: int) -> Any:
        yield when_all([ctx.call_activity(wait) for _ in range(width)])

    options = ConcurrencyOptions(
        maximum_concurrent_activity_work_items=6, maximum_thread_pool_workers=4
    )
    with (
        TaskHubGrpcWorker(host_address=address, concurrency_options=options) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        worker.add_orchestrator(fan_out)
        worker.add_activity(wait)
        worker.start()
        instance_id = client.schedule_new_orchestration(fan_out, input=6)
        for _ in range(4):
            assert running.acquire(timeout=SOON), "an activity should have begun"
        try:
            numbers = collected_when("work_items.queued", 2, work_item__kind="activity")
            assert number(numbers, "work_items.running", work_item__kind="activity") == 4
            numbers = collected_when("replay_cache.size", 1)
            assert number(numbers, "replay_cache.memory") > 0
        finally:
            let_go.set()
        client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    numbers = collect()
    for kind in ("activity", "orchestration"):
        assert number(numbers, "work_items.running", work_item__kind=kind) == 0
        assert number(numbers, "work_items.queued", work_item__kind=kind) == 0
    assert number(numbers, "replay_cache.size") == 0


def test_failed_activities_are_told_apart(address: str) -> None:
    def fail(ctx: ActivityContext, value: Any) -> None:
        raise KeyError(value)

    def orchestrate(ctx: OrchestrationContext, value: Any) -> Any:
        yield ctx.call_activity(fail)

    with (
        TaskHubGrpcWorker(host_address=address) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        worker.add_orchestrator(orchestrate)
        worker.add_activity(fail)
        worker.start()
        instance_id = client.schedule_new_orchestration(orchestrate)
        client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    attributes = {"durabletask.activity.name": "fail", "error.type": "KeyError"}
    key = "durabletask.worker.activity.duration", frozenset(attributes.items())
    assert collect()[key] == 1


def test_workers_of_one_process_are_one_source(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    workers = [TaskHubGrpcWorker(host_address=address) for _ in range(3)]
    for worker in workers:
        worker.start()
    numbers = collect()
    for worker in workers:
        worker.stop()
    assert number(numbers, "turns") == number(collect(), "turns")
    assert not [each for each in caplog.records if each.name.startswith("opentelemetry")]
