"""What is replayed: one orchestrator for each workload, written once for every package that is measured.

Only the public API that all of them share is used, so that each runs this very source. The input is the number of
steps; what a step is stands in `workloads.py`, which makes the histories.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from durabletask import task

WINDOW = 32
DELAY = timedelta(milliseconds=250)
RETRY = task.RetryPolicy(first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=3)

Context = task.OrchestrationContext
Routine = Generator[Any, Any, Any]


def activity(ctx: task.ActivityContext, number: Any) -> Any:
    """Is called by name only: its results are in the history."""
    raise NotImplementedError


def chain(ctx: Context, steps: int) -> Routine:
    result = None
    for number in range(steps):
        result = yield ctx.call_activity(activity, input=number)
    return result


async def coroutine_chain(ctx: Context, steps: int) -> Any:
    result = None
    for number in range(steps):
        result = await ctx.call_activity(activity, input=number)
    return result


def naps(ctx: Context, count: int) -> Routine:
    """So many `async def` activities at once, each asleep for a moment."""
    results = yield task.when_all(
        [ctx.call_activity("nap", input=number) for number in range(count)]
    )
    return len(results)


def dozes(ctx: Context, count: int) -> Routine:
    """The same with activities that keep a thread each, for a second."""
    results = yield task.when_all(
        [ctx.call_activity("doze", input=number) for number in range(count)]
    )
    return len(results)


@dataclass
class Order:
    """What people pass to activities."""

    number: int
    customer: str
    sku: str
    price: float
    express: bool


def dataclass_inputs(ctx: Context, steps: int) -> Routine:
    result = None
    for number in range(steps):
        order = Order(number, "Ada Lovelace", "SKU-0815", 19.95, express=True)
        result = yield ctx.call_activity(activity, input=order)
    return result


def model_inputs(ctx: Context, steps: int) -> Routine:
    # Only where this project is measured; the others have no models.
    from models import OrderModel

    result = None
    for number in range(steps):
        order = OrderModel(
            number=number, customer="Ada Lovelace", sku="SKU-0815", price=19.95, express=True
        )
        result = yield ctx.call_activity(activity, input=order)
    return result


def fan_out(ctx: Context, steps: int) -> Routine:
    results = yield task.when_all(
        [ctx.call_activity(activity, input=number) for number in range(steps)]
    )
    return sum(results)


def retries(ctx: Context, steps: int) -> Routine:
    result = None
    for number in range(steps):
        result = yield ctx.call_activity(activity, input=number, retry_policy=RETRY)
    return result


def timers_and_events(ctx: Context, steps: int) -> Routine:
    total = 0
    for number in range(steps):
        if number % 2:
            total += yield ctx.wait_for_external_event("progress")
        else:
            yield ctx.create_timer(DELAY)
    return total


def sub_orchestrations(ctx: Context, steps: int) -> Routine:
    total = 0
    for number in range(steps):
        total += yield ctx.call_sub_orchestrator(chain, input=number)
    return total


def json_1k(ctx: Context, steps: int) -> Routine:
    total = 0
    for number in range(steps):
        order = yield ctx.call_activity(activity, input=number)
        total += order["quantity"]
    return total


def sliding(ctx: Context, steps: int) -> Routine:
    pending = [ctx.call_activity(activity, input=number) for number in range(min(steps, WINDOW))]
    started = len(pending)
    total = 0
    while pending:
        done = yield task.when_any(pending)
        pending.remove(done)
        total += done.get_result()
        if started < steps:
            pending.append(ctx.call_activity(activity, input=started))
            started += 1
    return total


def when_any_all(ctx: Context, steps: int) -> Routine:
    pending = [ctx.call_activity(activity, input=number) for number in range(steps)]
    total = 0
    while pending:
        done = yield task.when_any(pending)
        pending.remove(done)
        total += done.get_result()
    return total


def emission(ctx: Context, steps: int) -> Routine:
    yield task.when_all([ctx.call_activity(activity, input=number) for number in range(steps)])


def failing_siblings(ctx: Context, steps: int) -> Routine:
    failed = 0
    try:
        yield task.when_all([ctx.call_activity(activity, input=number) for number in range(steps)])
    except task.TaskFailedError:
        failed += 1
    yield ctx.wait_for_external_event("go")
    return failed


def fan_out_and_wait(ctx: Context, steps: int) -> Routine:
    yield task.when_all([ctx.call_activity(activity, input=number) for number in range(steps)])
    yield ctx.wait_for_external_event("go")
