"""The asyncio client, with a worker, on a sidecar."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from durabletask.aio import AsyncTaskHubGrpcClient
from durabletask.client import OrchestrationStatus
from durabletask.task import OrchestrationContext
from durabletask.worker import TaskHubGrpcWorker

from support.sidecar import sidecar_address

SOON = 30


def echo(ctx: OrchestrationContext, value: Any) -> Any:
    return value


def wait_for_go(ctx: OrchestrationContext, _: Any) -> Any:
    return (yield ctx.wait_for_external_event("Go"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with sidecar_address() as address, TaskHubGrpcWorker(host_address=address) as worker:
        worker.add_orchestrator(echo)
        worker.add_orchestrator(wait_for_go)
        worker.start()
        yield address


def test_many_orchestrations_are_waited_for_at_once(address: str) -> None:
    async def run(client: AsyncTaskHubGrpcClient, number: int) -> str | None:
        instance_id = await client.schedule_new_orchestration(echo, input=number)
        state = await client.wait_for_orchestration_completion(instance_id, timeout=SOON)
        return state.serialized_output if state else None

    async def main() -> list[str | None]:
        async with AsyncTaskHubGrpcClient(host_address=address) as client:
            return list(await asyncio.gather(*(run(client, number) for number in range(50))))

    assert asyncio.run(main()) == [str(number) for number in range(50)]


def test_an_orchestration_is_steered(address: str) -> None:
    async def main() -> None:
        async with AsyncTaskHubGrpcClient(host_address=address) as client:
            instance_id = await client.schedule_new_orchestration(wait_for_go)
            await client.wait_for_orchestration_start(instance_id, timeout=SOON)
            await client.suspend_orchestration(instance_id)
            await client.raise_orchestration_event(instance_id, "go", data=0)
            with pytest.raises(TimeoutError, match="orchestration to complete"):
                await client.wait_for_orchestration_completion(instance_id, timeout=0.3)
            await client.resume_orchestration(instance_id)
            state = await client.wait_for_orchestration_completion(instance_id, timeout=SOON)
            assert state is not None
            assert state.serialized_output == "0"
            history = await client.get_orchestration_history(instance_id)
            assert "eventRaised" in {event.event_type for event in history}
            assert instance_id in (await client.list_instance_ids()).instance_ids
            assert await client.purge_orchestration(instance_id) == 1
            assert await client.get_orchestration_state(instance_id) is None

    asyncio.run(main())


def test_a_termination_ends_an_orchestration(address: str) -> None:
    async def main() -> None:
        async with AsyncTaskHubGrpcClient(host_address=address) as client:
            instance_id = await client.schedule_new_orchestration(wait_for_go)
            await client.terminate_orchestration(instance_id, output="out")
            state = await client.wait_for_orchestration_completion(instance_id, timeout=SOON)
            assert state is not None
            assert state.runtime_status is OrchestrationStatus.TERMINATED
            assert state.serialized_output == '"out"'

    asyncio.run(main())


def test_errors_have_codes_and_details(address: str) -> None:
    async def main() -> None:
        async with AsyncTaskHubGrpcClient(host_address=address) as client:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await client.suspend_orchestration("nobody")
            assert "no such instance exists" in (raised.value.details() or "")

    asyncio.run(main())


def test_a_cancelled_wait_is_cancelled(address: str) -> None:
    async def main() -> None:
        async with AsyncTaskHubGrpcClient(host_address=address) as client:
            instance_id = await client.schedule_new_orchestration(wait_for_go)
            wait = asyncio.ensure_future(client.wait_for_orchestration_completion(instance_id))
            await asyncio.sleep(0.05)
            wait.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(wait, SOON)
            await client.terminate_orchestration(instance_id)

    asyncio.run(main())
