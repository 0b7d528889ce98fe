"""A program as users write them, which type checkers accept without a word.

It is checked, not run: what matters is what each expression is taken for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from typing_extensions import assert_type

from durabletask import task
from durabletask.aio import AsyncTaskHubGrpcClient
from durabletask.client import OrchestrationState, OrchestrationStatus, TaskHubGrpcClient
from durabletask.payloads import convert
from durabletask.replay import Replayer
from durabletask.task import ActivityContext, OrchestrationContext, RetryPolicy, Task
from durabletask.worker import ConcurrencyOptions, TaskHubGrpcWorker


@dataclass
class Order:
    customer: str
    lines: list[Line]


class Line(NamedTuple):
    product: str
    quantity: int


@dataclass
class Receipt:
    number: int
    paid: bool


RETRY = RetryPolicy(
    first_retry_interval=timedelta(seconds=1),
    max_number_of_attempts=3,
    backoff_coefficient=2.0,
    non_retryable_error_types=[PermissionError, "Declined"],
)

worker = TaskHubGrpcWorker(
    concurrency_options=ConcurrencyOptions(maximum_thread_pool_workers=4), typed_payloads=True
)


# Activities: synchronous, asynchronous, without a result, of any type.


@worker.activity
def price(ctx: ActivityContext, order: Order) -> float:
    assert_type(ctx.orchestration_id, str)
    return sum(line.quantity for line in order.lines) * 1.5


@worker.activity(name="charge")
async def charge(ctx: ActivityContext, amount: float) -> Receipt:
    await asyncio.sleep(0)
    return Receipt(ctx.task_id, amount > 0)


def log(ctx: ActivityContext, text: str) -> None:
    print(ctx.task_execution_id, text)


def untyped(ctx, value):  # type: ignore[no-untyped-def]
    return value


def anything(ctx: ActivityContext, value: Any) -> Any:
    return value


# Orchestrators: generators, coroutines, plain functions.


def ship(ctx: OrchestrationContext, order: Order) -> Generator[Task[Any], Any, list[str]]:
    labels: list[str] = yield task.when_all(
        [ctx.call_activity(label, input=line) for line in order.lines]
    )
    return labels


def label(ctx: ActivityContext, line: Line) -> str:
    return f"{line.quantity} x {line.product}"


def estimate(ctx: OrchestrationContext, order: Order) -> int:
    return len(order.lines)


@worker.orchestrator(version="2", is_latest=True)
async def sell(ctx: OrchestrationContext, order: Order) -> Receipt:
    amount = ctx.call_activity(price, input=order)
    assert_type(amount, Task[float])
    paid = ctx.call_activity(charge, input=await amount, retry_policy=RETRY)
    assert_type(paid, Task[Receipt])
    assert_type(await paid, Receipt)
    assert_type(paid.get_result(), Receipt)
    assert_type(ctx.call_activity("by name", input=[1]), Task[Any])
    assert_type(ctx.call_activity(anything), Task[Any])
    assert_type(await ctx.call_activity(log, input="sold", app_id="other"), None)

    labels = ctx.call_sub_orchestrator(ship, input=order, instance_id="labels")
    assert_type(labels, Task[list[str]])
    again = ctx.call_sub_orchestrator(sell, input=order)
    assert_type(again, Task[Receipt])
    assert_type(ctx.call_sub_orchestrator(estimate, input=order), Task[int])
    assert_type(ctx.call_sub_orchestrator("by name"), Task[Any])

    both = await task.when_all((labels, again))
    assert_type(both, tuple[list[str], Receipt])
    three = task.when_all((amount, paid, labels))
    assert_type(three.get_result(), tuple[float, Receipt, list[str]])
    assert_type(three.pending_tasks, int)
    alike = await task.when_all([amount, amount])
    assert_type(alike, list[float])
    for receipt in await task.when_all(ctx.call_activity(charge, input=n) for n in (1.0, 2.0)):
        assert_type(receipt, Receipt)

    approved = ctx.wait_for_external_event("approved", timeout=timedelta(days=1))
    late = ctx.create_timer(ctx.current_utc_datetime + timedelta(hours=1))
    winner = await task.when_any([approved, late, paid])
    if winner == late:
        ctx.set_custom_status("late")
        ctx.continue_as_new(order, save_events=True)
    elif isinstance(winner, task.CompositeTask):
        print(winner.get_tasks())
    try:
        return convert(await approved, Receipt)
    except TimeoutError:
        return Receipt(ctx.random_int(), False)
    except task.TaskFailedError as error:
        details: task.FailureDetails | None = error.details
        while details is not None:
            print(details.error_type, details.message, details.stack_trace)
            details = details.inner_failure
        raise


def watch(ctx: OrchestrationContext, seconds: int) -> Generator[Task[Any], Any, datetime]:
    if ctx.is_patched("slower"):
        seconds *= 2
    yield ctx.create_timer(timedelta(seconds=seconds))
    receipt = yield ctx.call_activity(charge, input=1.0)
    convert(receipt, Receipt)
    ctx.create_replay_safe_logger(__import__("logging").getLogger()).info("watched")
    return ctx.current_utc_datetime


def covariant(tasks: Sequence[Task[object]]) -> int:
    return sum(each.is_complete for each in tasks)


async def mixed(ctx: OrchestrationContext, _: None) -> int:
    numbers = ctx.call_activity(price, input=Order("Ada", []))
    texts: Task[str] = ctx.call_activity(label, input=Line("tea", 1))
    as_object: Task[object] = texts
    return covariant([numbers, texts, as_object])


def by_name(name: str) -> task.Orchestrator[Any, Any]:
    def orchestrator(ctx: OrchestrationContext, value: Any) -> Any:
        return (yield ctx.call_activity(name, input=value))

    return orchestrator


def activity_of(result: str) -> task.Activity[int, str]:
    def activity(ctx: ActivityContext, number: int) -> str:
        return result * number

    return activity


def finished(state: OrchestrationState | None) -> bool:
    if state is None or state.runtime_status is not OrchestrationStatus.COMPLETED:
        return False
    assert_type(state.serialized_output, str | None)
    state.raise_if_failed()
    return True


def main() -> None:
    with worker, TaskHubGrpcClient() as client:
        assert_type(worker.add_orchestrator(ship), str)
        for orchestrator in (watch, by_name("log"), estimate, mixed):
            worker.add_orchestrator(orchestrator)
        worker.add_activity(log)
        worker.add_activity(label)
        worker.add_activity(untyped)
        worker.add_activity(activity_of("a"))
        worker.start()
        instance_id = client.schedule_new_orchestration(sell, input=Order("Ada", [Line("tea", 2)]))
        assert_type(instance_id, str)
        client.schedule_new_orchestration("by name", input=1, start_at=datetime(2026, 1, 1))
        client.raise_orchestration_event(instance_id, "approved", data=Receipt(1, True))
        finished(client.wait_for_orchestration_completion(instance_id, timeout=30))
    Replayer([ship, sell, watch]).execute(b"")


async def amain() -> None:
    async with AsyncTaskHubGrpcClient(host_address="localhost:4001") as client:
        instance_id = await client.schedule_new_orchestration(ship, input=Order("Ada", []))
        finished(await client.wait_for_orchestration_start(instance_id))


coroutine: Coroutine[Any, Any, None] = amain()
