"""Listing, purging and starting again, with a worker, on the embedded sidecar."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from durabletask.aio import AsyncTaskHubGrpcClient
from durabletask.client import OrchestrationPage, OrchestrationStatus, TaskHubGrpcClient
from durabletask.sidecar import Sidecar
from durabletask.task import OrchestrationContext
from durabletask.worker import TaskHubGrpcWorker

SOON = 30


def echo(ctx: OrchestrationContext, value: Any) -> Any:
    return value


def fail(ctx: OrchestrationContext, _: Any) -> Any:
    raise ValueError("no")


def wait_for_go(ctx: OrchestrationContext, _: Any) -> Any:
    return (yield ctx.wait_for_external_event("Go"))


def call_echo(ctx: OrchestrationContext, value: Any) -> Any:
    return (
        yield ctx.call_sub_orchestrator(echo, input=value, instance_id=f"{ctx.instance_id}-child")
    )


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    with Sidecar() as sidecar, TaskHubGrpcWorker(host_address=sidecar.address) as worker:
        for orchestrator in (echo, fail, wait_for_go, call_echo):
            worker.add_orchestrator(orchestrator)
        worker.start()
        yield sidecar


@pytest.fixture
def client(sidecar: Sidecar) -> Iterator[TaskHubGrpcClient]:
    with TaskHubGrpcClient(host_address=sidecar.address) as client:
        yield client


def run(client: TaskHubGrpcClient, orchestrator: Any, instance_id: str, value: Any = None) -> None:
    client.schedule_new_orchestration(orchestrator, instance_id=instance_id, input=value)
    client.wait_for_orchestration_completion(instance_id, timeout=SOON)


def ids(page: OrchestrationPage) -> list[str]:
    return [state.instance_id for state in page.states]


def test_orchestrations_are_listed_by_what_is_known_of_them(
    sidecar: Sidecar, client: TaskHubGrpcClient
) -> None:
    run(client, echo, "order-2", {"a": 1})
    run(client, fail, "order-1")
    run(client, call_echo, "parent", 5)
    client.schedule_new_orchestration(wait_for_go, instance_id="waiting")
    client.wait_for_orchestration_start("waiting", timeout=SOON)

    assert ids(client.list_orchestrations()) == [
        "order-2",
        "order-1",
        "parent",
        "parent-child",
        "waiting",
    ]
    assert ids(client.list_orchestrations(roots_only=True)) == [
        "order-2",
        "order-1",
        "parent",
        "waiting",
    ]
    ended = client.list_orchestrations(
        status=[OrchestrationStatus.COMPLETED, OrchestrationStatus.FAILED],
        instance_id_prefix="order-",
        fetch_payloads=True,
    )
    assert ids(ended) == ["order-2", "order-1"]
    assert ended.states[0].serialized_input == '{"a": 1}'
    assert ended.states[1].failure_details is not None
    assert ended.states[0] == client.get_orchestration_state("order-2")
    assert ids(client.list_orchestrations(name="fail")) == ["order-1"]

    # A time that was shown is within the bounds that are made of it.
    state = ended.states[0]
    at_that_time = client.list_orchestrations(
        created_from=state.created_at,
        created_to=state.created_at,
        updated_from=state.last_updated_at,
        updated_to=state.last_updated_at,
    )
    assert ids(at_that_time) == ["order-2"]

    async def aio() -> list[str]:
        found: list[str] = []
        async with AsyncTaskHubGrpcClient(host_address=sidecar.address) as client:
            token = None
            while True:
                page = await client.list_orchestrations(page_size=2, continuation_token=token)
                found += ids(page)
                token = page.continuation_token
                if token is None:
                    return found

    assert asyncio.run(aio()) == ids(client.list_orchestrations())


def test_what_has_ended_is_purged_with_what_it_started(client: TaskHubGrpcClient) -> None:
    run(client, echo, "done")
    run(client, fail, "failed")
    run(client, call_echo, "parent")
    client.schedule_new_orchestration(wait_for_go, instance_id="waiting")
    client.wait_for_orchestration_start("waiting", timeout=SOON)
    assert client.purge_orchestrations(status=OrchestrationStatus.RUNNING) == 0
    assert client.purge_orchestrations(status=OrchestrationStatus.FAILED) == 1
    assert client.purge_orchestrations() == 3
    assert ids(client.list_orchestrations()) == ["waiting"]


def test_an_orchestration_is_started_again_with_what_it_had(client: TaskHubGrpcClient) -> None:
    run(client, echo, "first", {"a": [1]})
    again = client.restart_orchestration("first")
    state = client.wait_for_orchestration_completion(again, timeout=SOON)
    assert again != "first"
    assert state is not None
    assert (state.name, state.serialized_output) == ("echo", '{"a": [1]}')
    assert client.restart_orchestration("first", new_instance_id="first") == "first"
    client.wait_for_orchestration_completion("first", timeout=SOON)
    assert ids(client.list_orchestrations(name="echo")) == [again, "first"]
    with pytest.raises(ValueError, match="no orchestration 'nobody'"):
        client.restart_orchestration("nobody")
