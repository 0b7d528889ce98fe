"""The orchestrations whose turns are recorded in this folder, and what a client does to drive them.

Only the public API of `durabletask`, so that one file runs on this project and on durabletask-dapr
0.17. The recordings hold the names of the functions, the fields of the classes and every value that
is passed on: changing one of those here makes the recordings of that scenario worthless. (Names
that come out of `SCENARIOS` are those of the recorded files.)
"""

from __future__ import annotations

import time
from collections import defaultdict, namedtuple
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from durabletask import client, task

Steps = Generator[task.Task[Any], Any, Any]

EAGER = task.RetryPolicy(
    first_retry_interval=timedelta(milliseconds=50),
    max_number_of_attempts=3,
    backoff_coefficient=2.0,
    max_retry_interval=timedelta(milliseconds=80),
)


# --- business objects


@dataclass
class Order:
    Cost: float
    Product: str
    Quantity: int


Approval = namedtuple("Approval", ["approver", "level"])


# --- activities


def hello(ctx: task.ActivityContext, name: str) -> str:
    return f"Hello {name}!"


def square(ctx: task.ActivityContext, number: int) -> int:
    return number * number


def work_items(ctx: task.ActivityContext, _: None) -> list[int]:
    return [*range(12)]


def echo(ctx: task.ActivityContext, value: Any) -> Any:
    return value


def nothing(ctx: task.ActivityContext, _: None) -> None:
    """Has no result, which is not the same as an empty one."""


def nap(ctx: task.ActivityContext, seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def describe(ctx: task.ActivityContext, order: Any) -> str:
    return f"{order.Product} x{order.Quantity} = {order.Cost}"


def boom(ctx: task.ActivityContext, message: str) -> None:
    raise ValueError(message)


def fatal(ctx: task.ActivityContext, message: str) -> None:
    raise task.NonRetryableError(message)


# The activity's own memory: every attempt of a retried call carries the same execution id.
_calls: defaultdict[tuple[str, str], int] = defaultdict(int)


def flaky(ctx: task.ActivityContext, failures: int) -> int:
    call = (ctx.orchestration_id, ctx.task_execution_id)
    _calls[call] += 1
    if _calls[call] > failures:
        return _calls[call]
    raise RuntimeError(f"attempt {_calls[call]}")


ACTIVITIES: list[Callable[..., Any]] = [
    hello,
    square,
    work_items,
    boom,
    fatal,
    flaky,
    nap,
    nothing,
    describe,
    echo,
]


# --- orchestrators: activities


def sequence(ctx: task.OrchestrationContext, _: None) -> Steps:
    greetings = []
    for city in ["Tokyo", "Seattle", "London"]:
        greeting = yield ctx.call_activity(hello, input=city)
        greetings.append(greeting)
    return greetings


def fan_out_fan_in(ctx: task.OrchestrationContext, _: None) -> Steps:
    items = yield ctx.call_activity(work_items)
    squares = yield task.when_all([ctx.call_activity(square, input=item) for item in items])
    return {"items": items, "results": squares, "total": sum(squares)}


def sliding_window(ctx: task.OrchestrationContext, count: int) -> Steps:
    """Keeps four activities under way until `count` have been started."""
    window = [ctx.call_activity(square, input=number) for number in range(4)]
    upcoming = iter(range(4, count))
    total = 0
    while window:
        finished = yield task.when_any(window)
        window.remove(finished)
        total += finished.get_result()
        for number in upcoming:
            window.append(ctx.call_activity(square, input=number))
            break
    return total


def no_yield(ctx: task.OrchestrationContext, value: Any) -> dict[str, Any]:
    """Is no generator: completes within its first turn."""
    return {"got": value, "replaying": ctx.is_replaying}


def falsy(ctx: task.OrchestrationContext, _: None) -> Steps:
    echoed = []
    for value in [0, "", [], {}, False]:
        result = yield ctx.call_activity(echo, input=value)
        echoed.append(result)
    return echoed


# --- orchestrators: failures and retries


def catch_failure(ctx: task.OrchestrationContext, _: None) -> Steps:
    try:
        yield ctx.call_activity(boom, input="Kah-BOOM")
    except task.TaskFailedError as failed:
        compensation = yield ctx.call_activity(hello, input="undo")
        return [failed.details.error_type, failed.details.message, compensation]


def uncaught_failure(ctx: task.OrchestrationContext, _: None) -> Steps:
    yield ctx.call_activity(boom, input="nobody catches me")


def retry_then_succeed(ctx: task.OrchestrationContext, failures: int) -> Steps:
    result = yield ctx.call_activity(flaky, input=failures, retry_policy=EAGER)
    return result


def retry_gives_up(ctx: task.OrchestrationContext, _: None) -> Steps:
    try:
        yield ctx.call_activity(boom, input="always", retry_policy=EAGER)
    except task.TaskFailedError as failed:
        _instance, _colon, rest = str(failed).partition(":")
        return rest


def not_retried(ctx: task.OrchestrationContext, _: None) -> Steps:
    try:
        yield ctx.call_activity(fatal, input="stop", retry_policy=EAGER)
    except task.TaskFailedError as failed:
        return failed.details.error_type


# --- orchestrators: sub-orchestrations


def parent(ctx: task.OrchestrationContext, children: int) -> Steps:
    unnamed = [ctx.call_sub_orchestrator(child, input=number) for number in range(children)]
    results = yield task.when_all(unnamed)
    named = yield ctx.call_sub_orchestrator(
        child, input=100, instance_id=f"{ctx.instance_id}-named"
    )
    return [results, named]


def child(ctx: task.OrchestrationContext, number: int) -> Steps:
    squared = yield ctx.call_activity(square, input=number)
    return squared + 1


def parent_of_failing(ctx: task.OrchestrationContext, _: None) -> Steps:
    try:
        yield ctx.call_sub_orchestrator(child_fails, retry_policy=EAGER)
    except task.TaskFailedError as failed:
        return failed.details.message


def child_fails(ctx: task.OrchestrationContext, _: None) -> Steps:
    yield ctx.call_activity(boom, input="from the child")


# --- orchestrators: timers and events


def timers(ctx: task.OrchestrationContext, _: None) -> Steps:
    start = ctx.current_utc_datetime
    yield ctx.create_timer(timedelta(milliseconds=120))
    yield ctx.create_timer(start + timedelta(milliseconds=200))
    return ctx.current_utc_datetime - start >= timedelta(milliseconds=200)


def approval(ctx: task.OrchestrationContext, order: Any) -> Steps:
    if order.Cost < 1000:
        return "Auto-approved"
    yield ctx.call_activity(describe, input=order)
    decision = ctx.wait_for_external_event("approval_received")
    deadline = ctx.create_timer(timedelta(hours=24))
    first = yield task.when_any([decision, deadline])
    if first == deadline:
        return "Cancelled"
    yield ctx.call_activity(describe, input=order)
    return f"Approved by '{decision.get_result().approver}'"


def approval_times_out(ctx: task.OrchestrationContext, _: None) -> Steps:
    decision = ctx.wait_for_external_event("never")
    deadline = ctx.create_timer(timedelta(milliseconds=100))
    first = yield task.when_any([decision, deadline])
    return "Cancelled" if first == deadline else "?"


def three_events(ctx: task.OrchestrationContext, _: None) -> Steps:
    """Event names are compared without case; those that come early are kept."""
    data = []
    for name in ["Ping", "ping", "PONG"]:
        received = yield ctx.wait_for_external_event(name)
        data.append(received)
    return data


def suspended(ctx: task.OrchestrationContext, _: None) -> Steps:
    first = yield ctx.wait_for_external_event("go")
    second = yield ctx.wait_for_external_event("go")
    return [first, second]


def nested_composites(ctx: task.OrchestrationContext, _: None) -> Steps:
    both = task.when_all([ctx.call_activity(square, input=number) for number in (2, 3)])
    hour = ctx.create_timer(timedelta(hours=1))
    first = yield task.when_any([both, hour])
    return [first is both, both.get_result()]


# --- orchestrators: generations, status, deterministic values


def counter(ctx: task.OrchestrationContext, number: int) -> Steps:
    yield ctx.create_timer(timedelta(milliseconds=20))
    if number >= 4:
        return number
    ctx.continue_as_new(number + 1)


def accumulate(ctx: task.OrchestrationContext, items: list[Any]) -> Steps:
    item = yield ctx.wait_for_external_event("item")
    items = [*items, item]
    if len(items) >= 5:
        return items
    ctx.continue_as_new(items, save_events=True)


def status(ctx: task.OrchestrationContext, _: None) -> Steps:
    ctx.set_custom_status("started")
    yield ctx.call_activity(hello, input="status")
    ctx.set_custom_status('{"progress": 100}')


def deterministic(ctx: task.OrchestrationContext, _: None) -> Steps:
    ids = {str(ctx.new_guid()), str(ctx.uuid4())}
    yield ctx.call_activity(nothing)
    ids.add(str(ctx.new_guid()))
    die = ctx.random_int(1, 6)
    text = ctx.random_string(8)
    earlier = ctx.now_with_sequence()
    return [len(ids), 1 <= die <= 6, len(text), earlier < ctx.now_with_sequence()]


# --- what the client does


Drive = Callable[[client.TaskHubGrpcClient], list[str]]


class Scenario(NamedTuple):
    orchestrators: list[Callable[..., Any]]
    """What the worker registers, beside `ACTIVITIES`."""
    drive: Drive
    """Starts the scenario's instances, does to them what is to be done, and returns their ids."""


def only_start(orchestrator: Callable[..., Any], **arguments: Any) -> Drive:
    return lambda hub: [hub.schedule_new_orchestration(orchestrator, **arguments)]


def approve(hub: client.TaskHubGrpcClient) -> list[str]:
    instance = hub.schedule_new_orchestration(approval, input=Order(2000, "MyProduct", 1))
    time.sleep(0.3)  # Recorded so: the event arrives in a turn of its own.
    hub.raise_orchestration_event(instance, "approval_received", data=Approval("Me", 3))
    return [instance]


def raise_three_events(hub: client.TaskHubGrpcClient) -> list[str]:
    instance = hub.schedule_new_orchestration(three_events)
    for name, data in [("pong", {"n": 3}), ("PING", 1), ("ping", [2])]:
        hub.raise_orchestration_event(instance, name, data=data)
        time.sleep(0.05)
    return [instance]


def raise_items(hub: client.TaskHubGrpcClient) -> list[str]:
    instance = hub.schedule_new_orchestration(accumulate, input=[])
    for item in [1, 2, 3, 4, 5]:
        hub.raise_orchestration_event(instance, "item", data=item)
    return [instance]


def suspend_and_resume(hub: client.TaskHubGrpcClient) -> list[str]:
    instance = hub.schedule_new_orchestration(suspended)
    hub.wait_for_orchestration_start(instance, timeout=10)
    hub.suspend_orchestration(instance)
    for data in ["a", "b"]:
        hub.raise_orchestration_event(instance, "go", data=data)
    time.sleep(0.5)  # Recorded so: the events are held back while the instance is suspended.
    hub.resume_orchestration(instance)
    return [instance]


def terminate(hub: client.TaskHubGrpcClient) -> list[str]:
    instance = hub.schedule_new_orchestration(suspended)
    hub.wait_for_orchestration_start(instance, timeout=10)
    hub.terminate_orchestration(instance, output={"why": "enough"})
    return [instance]


SCENARIOS: dict[str, Scenario] = {
    "sequence": Scenario([sequence], only_start(sequence)),
    "fan_out_fan_in": Scenario([fan_out_fan_in], only_start(fan_out_fan_in)),
    "no_yield": Scenario([no_yield], only_start(no_yield, input=[1, {"a": None}])),
    "catch_failure": Scenario([catch_failure], only_start(catch_failure)),
    "uncaught_failure": Scenario([uncaught_failure], only_start(uncaught_failure)),
    "retry_then_succeed": Scenario([retry_then_succeed], only_start(retry_then_succeed, input=2)),
    "retry_gives_up": Scenario([retry_gives_up], only_start(retry_gives_up)),
    "not_retried": Scenario([not_retried], only_start(not_retried)),
    "sub_orchestrations": Scenario([parent, child], only_start(parent, input=3)),
    "failing_sub_orchestration": Scenario(
        [parent_of_failing, child_fails], only_start(parent_of_failing)
    ),
    "timers": Scenario([timers], only_start(timers)),
    "approval": Scenario([approval], approve),
    "auto_approval": Scenario([approval], only_start(approval, input=Order(10, "Pencil", 3))),
    "approval_times_out": Scenario([approval_times_out], only_start(approval_times_out)),
    "three_events": Scenario([three_events], raise_three_events),
    "continue_as_new": Scenario([counter], only_start(counter, input=1)),
    "continue_as_new_with_events": Scenario([accumulate], raise_items),
    "suspend_resume": Scenario([suspended], suspend_and_resume),
    "terminate": Scenario([suspended], terminate),
    "custom_status": Scenario([status], only_start(status)),
    "sliding_window": Scenario([sliding_window], only_start(sliding_window, input=12)),
    "deterministic": Scenario([deterministic], only_start(deterministic)),
    "nested_composites": Scenario([nested_composites], only_start(nested_composites)),
    "falsy": Scenario([falsy], only_start(falsy)),
}
