"""The protocol's messages for programs that have protobuf, and what is there without it."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from typing import Any

from durabletask import _core, client
from durabletask.internal import helpers
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as pb_grpc


def test_messages_of_protobuf_are_what_the_package_reads_and_writes() -> None:
    request = pb.CreateInstanceRequest.FromString(
        _core.encode_create_instance_request("id", "name", input="1")
    )
    assert (request.instanceId, request.name, request.input.value) == ("id", "name", "1")
    assert (
        pb.OrchestrationStatus.Name(pb.ORCHESTRATION_STATUS_FAILED) == "ORCHESTRATION_STATUS_FAILED"
    )
    assert helpers.get_orchestration_status_str(3) == "FAILED"
    state = pb.OrchestrationState(instanceId="id", name="n", orchestrationStatus=1)
    response = pb.GetInstanceResponse(exists=True, orchestrationState=state)
    found = client.new_orchestration_state("id", response)
    assert found is not None
    assert found.runtime_status is client.OrchestrationStatus.COMPLETED
    assert client.new_orchestration_state("id", pb.GetInstanceResponse()) is None
    assert hasattr(pb_grpc.TaskHubSidecarServiceServicer(), "StartInstance")


def test_events_made_by_the_helpers_replay() -> None:
    from durabletask.replay import Replayer

    def orchestrator(ctx: Any, number: int) -> Any:
        return (yield ctx.call_activity("a", input=number))

    past = [
        helpers.new_orchestrator_started_event(datetime(2026, 1, 1)),
        helpers.new_execution_started_event("orchestrator", "id", "1"),
        helpers.new_task_scheduled_event(1, "a", "1"),
    ]
    new = [helpers.new_orchestrator_started_event(), helpers.new_task_completed_event(1, "2")]
    request = pb.OrchestratorRequest(instanceId="id", pastEvents=past, newEvents=new)
    response = pb.OrchestratorResponse.FromString(
        Replayer([orchestrator]).execute(request.SerializeToString())
    )
    assert response.actions[0].completeOrchestration.result.value == "2"


def test_an_action_says_that_a_version_is_not_available() -> None:
    action = helpers.new_orchestrator_version_not_available_action(3)
    assert action.id == 3
    assert action.HasField("orchestratorVersionNotAvailable")


def test_without_protobuf_the_numbers_are_there_and_a_message_says_what_it_needs() -> None:
    program = (
        "import sys; sys.modules['google.protobuf'] = None\n"
        "import durabletask.internal.orchestrator_service_pb2 as pb\n"
        "assert pb.ORCHESTRATION_STATUS_FAILED == 3\n"
        "try: pb.HistoryEvent\n"
        "except AttributeError as error: assert 'durabletask-rs[protobuf]' in str(error)\n"
        "else: raise SystemExit('no error')\n"
    )
    subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": ":".join(sys.path)}, check=True
    )


def test_importing_the_package_does_not_import_protobuf() -> None:
    program = "import sys, durabletask.worker, durabletask.client; assert 'google.protobuf' not in sys.modules"
    subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": ":".join(sys.path)}, check=True
    )
