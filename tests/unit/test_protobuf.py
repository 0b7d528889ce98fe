"""The protocol's messages for programs that have protobuf, and what is there without it."""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest

from durabletask import _core, client, task, worker
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


def test_the_executor_of_0_17_plays_turns_of_messages() -> None:
    def orchestrator(ctx: Any, number: int) -> Any:
        yield ctx.create_timer(timedelta(days=1))
        ctx.set_custom_status("asked")
        answer = yield ctx.call_activity("a", input=number)
        return [answer, ctx.is_patched("patch")]

    registry = worker._Registry()
    registry.add_orchestrator(orchestrator, "v2", True)
    executor = worker._OrchestrationExecutor(registry, logging.getLogger("test"))
    at = datetime(2026, 1, 1)
    begun = [
        helpers.new_orchestrator_started_event(at),
        helpers.new_execution_started_event("orchestrator", "id", "1"),
    ]
    result = executor.execute("id", [], begun)
    assert isinstance(result, worker.ExecutionResults)
    assert [action.createTimer.fireAt.ToDatetime() for action in result.actions] == [
        at + timedelta(days=1)
    ]
    assert (result.encoded_custom_status, result.version_name) == (None, "v2")

    # 0.17 asks the events of timers for nothing but their ids.
    past = [*begun, helpers.new_timer_created_event(1, datetime(2030, 1, 1))]
    fired = helpers.new_timer_fired_event(1, datetime(2040, 1, 1))
    result = executor.execute("id", past, [fired])
    assert [action.scheduleTask.name for action in result.actions] == ["a"]
    assert result.encoded_custom_status == "asked"
    assert fired.timerFired.HasField("fireAt")

    past += [fired, helpers.new_task_scheduled_event(2, "a", "1")]
    result = executor.execute("id", past, [helpers.new_task_completed_event(2, "3")])
    assert result.actions[0].completeOrchestration.result.value == "[3, true]"
    assert result.patches == ["patch"]


def test_the_executor_of_0_17_wants_something_new() -> None:
    executor = worker._OrchestrationExecutor(worker._Registry(), logging.getLogger("test"))
    with pytest.raises(task.OrchestrationStateError, match="at least one event"):
        executor.execute("id", [], [])
