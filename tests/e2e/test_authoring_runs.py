"""Ways to write orchestrators, end to end on a sidecar."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

from durabletask import task
from durabletask.client import OrchestrationState, OrchestrationStatus, TaskHubGrpcClient
from durabletask.worker import TaskHubGrpcWorker

from support.sidecar import sidecar_address


def double(_: task.ActivityContext, number: int) -> int:
    return 2 * number


def fail(_: task.ActivityContext, message: str) -> None:
    raise ValueError(message)


class Lease:
    """Takes and gives back by activities."""

    def __init__(self, ctx: Any, log: list[str]) -> None:
        self.ctx = ctx
        self.log = log

    async def __aenter__(self) -> int:
        self.log.append("taken")
        return await self.ctx.call_activity(double, input=10)  # type: ignore[no-any-return]

    async def __aexit__(self, *_: object) -> None:
        self.log.append(f"given back {await self.ctx.call_activity(double, input=11)}")


async def doubled(ctx: Any, numbers: list[int]) -> AsyncIterator[int]:
    for number in numbers:
        yield await ctx.call_activity(double, input=number)


async def helper(ctx: Any, number: int) -> int:
    first = await ctx.call_activity(double, input=number)
    return await ctx.call_activity(double, input=first)  # type: ignore[no-any-return]


async def coroutine(ctx: Any, number: int) -> Any:
    log: list[str] = []
    try:
        async with Lease(ctx, log) as lease:
            log.append(f"lease {lease}")
            async for each in doubled(ctx, [number, number + 1]):
                log.append(f"doubled {each}")
            log.append(f"helper {await helper(ctx, number)}")
            await ctx.call_activity(fail, input="no more")
    except task.TaskFailedError as error:
        log.append(error.details.message)
    finally:
        log.append(f"finally {await ctx.call_activity(double, input=50)}")
    return log


def generator_parent(ctx: Any, number: int) -> Any:
    return (yield ctx.call_sub_orchestrator(coroutine_child, input=number))


async def coroutine_child(ctx: Any, number: int) -> Any:
    return ["coroutine", await ctx.call_activity(double, input=number)]


async def coroutine_parent(ctx: Any, number: int) -> Any:
    children = [ctx.call_sub_orchestrator(generator_child, input=n) for n in (number, number + 1)]
    return await task.when_all(children)


def generator_child(ctx: Any, number: int) -> Any:
    return ["generator", (yield ctx.call_activity(double, input=number))]


async def sleeper(ctx: Any, _: Any) -> None:
    await asyncio.sleep(0)


async def future(ctx: Any, _: Any) -> None:
    loop = asyncio.new_event_loop()
    try:
        await loop.create_future()
    finally:
        loop.close()


async def impatient(ctx: Any, seconds: float) -> Any:
    try:
        return await ctx.wait_for_external_event("go", timeout=timedelta(seconds=seconds))
    except TimeoutError:
        return "timeout"


async def notifier(ctx: Any, target: str) -> Any:
    ctx.send_event(target, "go", data={"from": "notifier"})
    return "sent"


async def relay(ctx: Any, given: Any) -> Any:
    target, is_second = given
    if is_second:
        return await ctx.wait_for_external_event("baton")
    ctx.send_event(target, "go", data="from the first execution")
    ctx.send_event(ctx.instance_id, "baton", data="for the second")
    ctx.continue_as_new([target, True])


ORCHESTRATORS: list[Any] = [
    coroutine,
    generator_parent,
    coroutine_child,
    coroutine_parent,
    generator_child,
    sleeper,
    future,
    impatient,
    notifier,
    relay,
]


@pytest.fixture(scope="module")
def client() -> Iterator[TaskHubGrpcClient]:
    with (
        sidecar_address() as address,
        TaskHubGrpcWorker(host_address=address) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        for orchestrator in ORCHESTRATORS:
            worker.add_orchestrator(orchestrator)
        for activity in (double, fail):
            worker.add_activity(activity)
        worker.start()
        yield client


def run(client: TaskHubGrpcClient, orchestrator: Any, input: Any = None) -> OrchestrationState:
    instance = client.schedule_new_orchestration(orchestrator, input=input)
    state = client.wait_for_orchestration_completion(instance, timeout=60)
    assert state is not None
    return state


def result(state: OrchestrationState) -> Any:
    state.raise_if_failed()
    assert state.runtime_status is OrchestrationStatus.COMPLETED
    return json.loads(state.serialized_output or "null")


def test_a_coroutine_may_use_what_coroutines_use(client: TaskHubGrpcClient) -> None:
    assert result(run(client, coroutine, 3)) == [
        "taken",
        "lease 20",
        "doubled 6",
        "doubled 8",
        "helper 12",
        "given back 22",
        "no more",
        "finally 100",
    ]


def test_generators_and_coroutines_call_each_other(client: TaskHubGrpcClient) -> None:
    assert result(run(client, generator_parent, 3)) == ["coroutine", 6]
    assert result(run(client, coroutine_parent, 3)) == [["generator", 6], ["generator", 8]]


@pytest.mark.parametrize("orchestrator", [sleeper, future])
def test_waiting_for_what_asyncio_makes_says_what_to_do_instead(
    client: TaskHubGrpcClient, orchestrator: Any
) -> None:
    state = run(client, orchestrator)
    assert state.runtime_status is OrchestrationStatus.FAILED
    assert state.failure_details is not None
    assert state.failure_details.error_type == "TypeError"
    assert "no durable task" in state.failure_details.message
    assert "activity" in state.failure_details.message


def test_a_wait_ends_by_itself(client: TaskHubGrpcClient) -> None:
    assert result(run(client, impatient, 0.1)) == "timeout"


@pytest.mark.sidecars("embedded", "durabletask-go", reason="refuses every turn that sends an event")
def test_an_event_sent_in_the_last_turn_arrives(client: TaskHubGrpcClient) -> None:
    waiting = client.schedule_new_orchestration(impatient, input=3600)
    assert client.wait_for_orchestration_start(waiting, timeout=30) is not None
    assert result(run(client, notifier, waiting)) == "sent"
    state = client.wait_for_orchestration_completion(waiting, timeout=30)
    assert state is not None
    assert result(state) == {"from": "notifier"}


@pytest.mark.sidecars("embedded", reason="drops what is sent in a turn that continues as new")
def test_an_event_sent_in_a_turn_that_continues_as_new_arrives(client: TaskHubGrpcClient) -> None:
    waiting = client.schedule_new_orchestration(impatient, input=3600)
    assert client.wait_for_orchestration_start(waiting, timeout=30) is not None
    assert result(run(client, relay, [waiting, False])) == "for the second"
    state = client.wait_for_orchestration_completion(waiting, timeout=30)
    assert state is not None
    assert result(state) == "from the first execution"
