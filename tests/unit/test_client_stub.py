"""What tests of programs for 0.17 put in the place of a client's insides."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock, patch

import pytest

from durabletask.aio import AsyncTaskHubGrpcClient
from durabletask.client import TaskHubGrpcClient
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as pb_grpc
from durabletask.sidecar import Sidecar


@pytest.mark.parametrize("timeout", [None, 0, 5])
def test_a_mocked_stub_is_called_with_messages_and_the_timeout_given(timeout: int | None) -> None:
    state = pb.OrchestrationState(instanceId="id", orchestrationStatus=1)
    with TaskHubGrpcClient(host_address="localhost:1") as client:
        assert isinstance(client._stub, pb_grpc.TaskHubSidecarServiceStub)
        client._stub = Mock()
        wait = client._stub.WaitForInstanceCompletion
        wait.return_value = pb.GetInstanceResponse(exists=True, orchestrationState=state)
        found = client.wait_for_orchestration_completion("id", timeout=timeout)
    assert found is not None
    wait.assert_called_once_with(
        pb.GetInstanceRequest(instanceId="id", getInputsAndOutputs=True), timeout=timeout or None
    )


def test_a_client_with_another_stub_lists_purges_and_restarts_by_what_the_stub_has() -> None:
    state = pb.OrchestrationState(instanceId="id", name="greet", orchestrationStatus=1)
    with TaskHubGrpcClient(host_address="localhost:1") as client:
        client._stub = stub = Mock()
        stub.ListInstanceIDs.return_value = pb.ListInstanceIDsResponse(instanceIds=["id"])
        stub.GetInstance.return_value = pb.GetInstanceResponse(
            exists=True, orchestrationState=state
        )
        stub.PurgeInstances.return_value = pb.PurgeInstancesResponse(deletedInstanceCount=1)
        stub.StartInstance.return_value = pb.CreateInstanceResponse(instanceId="again")
        page = client.list_orchestrations()
        assert [each.instance_id for each in page.states] == ["id"]
        assert client.purge_orchestrations() == 1
        assert client.restart_orchestration("id", new_instance_id="again") == "again"


def test_an_asyncio_client_opens_its_channel_when_it_is_made() -> None:
    with patch("durabletask.aio.internal.shared.grpc_aio.insecure_channel") as channel:
        AsyncTaskHubGrpcClient(host_address="localhost:1", metadata=[("a", "b")])
    assert channel.call_args.args == ("localhost:1",)
    assert channel.call_args.kwargs["interceptors"][0]._metadata == [("a", "b")]


def test_an_asyncio_client_made_where_no_loop_runs_works_in_one() -> None:
    async def schedule(client: AsyncTaskHubGrpcClient) -> str:
        async with client:
            return await client.schedule_new_orchestration("any", instance_id="id")

    # grpc makes one where there is none, which nobody closes.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        with Sidecar() as sidecar:
            client = AsyncTaskHubGrpcClient(host_address=sidecar.address)
            assert asyncio.run(schedule(client)) == "id"
    finally:
        loop.close()
        asyncio.set_event_loop(None)
