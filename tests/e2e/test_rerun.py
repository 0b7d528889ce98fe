"""Running an orchestration that has ended again, from one of its calls on."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest

from durabletask import task
from durabletask.aio import AsyncTaskHubGrpcClient
from durabletask.client import OrchestrationState, OrchestrationStatus, TaskHubGrpcClient
from durabletask.worker import TaskHubGrpcWorker

from support.sidecar import sidecar_address

pytestmark = pytest.mark.sidecars("embedded", "dapr", reason="can not run again")

done: Counter[str] = Counter()
"""What activities were given, and how often."""


def charge(_: task.ActivityContext, what: str) -> str:
    done[what] += 1
    if what.startswith("broken"):
        raise ValueError("no stock")
    return f"charged {what}"


def order(ctx: Any, name: str) -> Any:
    first = yield ctx.call_activity(charge, input=f"first {name}")
    both = yield task.when_all(
        [
            ctx.call_activity(charge, input=f"second {name}"),
            ctx.call_sub_orchestrator(pack, input=name),
        ]
    )
    yield ctx.create_timer(timedelta(milliseconds=1))
    last = yield ctx.call_activity(charge, input=f"broken {name}")
    return [first, *both, last]


def pack(ctx: Any, name: str) -> Any:
    return [ctx.instance_id, (yield ctx.call_activity(charge, input=f"packed {name}"))]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with sidecar_address() as address, TaskHubGrpcWorker(host_address=address) as worker:
        worker.add_orchestrator(order)
        worker.add_orchestrator(pack)
        worker.add_activity(charge)
        worker.start()
        yield address


def ended(client: TaskHubGrpcClient, instance_id: str) -> OrchestrationState:
    state = client.wait_for_orchestration_completion(instance_id, timeout=60)
    assert state is not None
    return state


def failed_order(client: TaskHubGrpcClient) -> tuple[str, str]:
    """An order that has failed with its last call (ID=5): its id, and its name."""
    name = uuid4().hex
    instance_id = client.schedule_new_orchestration(order, input=name)
    assert ended(client, instance_id).runtime_status is OrchestrationStatus.FAILED
    return instance_id, name


def test_a_failed_call_is_done_again_with_another_input(client: TaskHubGrpcClient) -> None:
    instance_id, name = failed_order(client)
    copy = client.rerun_orchestration(instance_id, 5, input="the rest", overwrite_input=True)
    assert copy != instance_id
    state = ended(client, copy)
    assert state.runtime_status is OrchestrationStatus.COMPLETED, state.failure_details
    first, second, (packed_by, _), last = json.loads(state.serialized_output or "null")
    assert [first, second, last] == [
        f"charged first {name}",
        f"charged second {name}",
        "charged the rest",
    ]
    assert packed_by == f"{instance_id}:0003", "what the sub-orchestration gave back is kept"
    assert [done[f"{what} {name}"] for what in ("first", "second", "packed", "broken")] == [1] * 4
    assert ended(client, instance_id).runtime_status is OrchestrationStatus.FAILED


def test_whatever_was_under_way_is_done_again(client: TaskHubGrpcClient) -> None:
    instance_id, name = failed_order(client)
    copy = client.rerun_orchestration(instance_id, 2, new_instance_id=f"{instance_id} again")
    assert copy == f"{instance_id} again"
    state = ended(client, copy)
    assert state.runtime_status is OrchestrationStatus.FAILED, "the last call fails once more"
    assert [done[f"{what} {name}"] for what in ("first", "second", "packed", "broken")] == [
        1,
        2,
        2,
        2,
    ]
    child = client.get_orchestration_state(f"{copy}:0003")
    assert child is not None
    assert child.runtime_status is OrchestrationStatus.COMPLETED


def test_a_timer_and_a_sub_orchestration_can_be_run_again(address: str) -> None:
    async def run() -> None:
        with TaskHubGrpcClient(host_address=address) as client:
            instance_id, name = failed_order(client)
        async with AsyncTaskHubGrpcClient(host_address=address) as client:
            copies = [
                await client.rerun_orchestration(instance_id, 4),
                await client.rerun_orchestration(
                    instance_id, 3, new_child_instance_id=f"pack {name}"
                ),
            ]
            for copy in copies:
                assert await client.wait_for_orchestration_completion(copy, timeout=60)
            child = await client.get_orchestration_state(f"pack {name}")
            assert child is not None
        assert [done[f"{what} {name}"] for what in ("first", "second", "packed", "broken")] == [
            1,
            2,
            2,
            3,
        ]

    asyncio.run(run())


def test_what_can_not_be_run_again_is_refused(client: TaskHubGrpcClient) -> None:
    instance_id, _ = failed_order(client)
    waiting = client.schedule_new_orchestration("nobody registered this")

    def refused(of: str, event_id: int, **options: Any) -> tuple[grpc.StatusCode, str | None]:
        with pytest.raises(grpc.RpcError) as caught:
            client.rerun_orchestration(of, event_id, **options)
        return caught.value.code(), caught.value.details()

    code = grpc.StatusCode
    found, text = refused("nobody", 1)
    assert found is code.NOT_FOUND
    assert "'nobody'" in (text or "")
    found, text = refused(instance_id, 99)
    assert found is code.NOT_FOUND
    assert "99" in (text or "")
    assert refused(instance_id, 6)[0] is code.NOT_FOUND, "that is the id of its end"
    assert refused(instance_id, 1, new_instance_id=waiting)[0] is code.ALREADY_EXISTS
    assert refused(instance_id, 4, overwrite_input=True)[0] is code.INVALID_ARGUMENT
    assert refused(instance_id, 1, new_child_instance_id="c")[0] is code.INVALID_ARGUMENT
    assert refused(f"{instance_id}:0003", 1)[0] is code.INVALID_ARGUMENT
