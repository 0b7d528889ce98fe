"""The synchronous client, with a worker, on a sidecar."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import grpc
import pytest

from durabletask.client import OrchestrationFailedError, OrchestrationStatus, TaskHubGrpcClient
from durabletask.task import OrchestrationContext
from durabletask.worker import TaskHubGrpcWorker

from support.sidecar import sidecar_address

SOON = 30


def echo(ctx: OrchestrationContext, value: Any) -> Any:
    return value


def wait_for_go(ctx: OrchestrationContext, _: Any) -> Any:
    ctx.set_custom_status("waiting")
    return (yield ctx.wait_for_external_event("Go"))


def fail(ctx: OrchestrationContext, _: Any) -> Any:
    raise ValueError("no")


def start_child(ctx: OrchestrationContext, child_id: str) -> Any:
    return (yield ctx.call_sub_orchestrator(wait_for_go, instance_id=child_id))


def call_act(ctx: OrchestrationContext, value: Any) -> Any:
    return (yield ctx.call_activity(act, input=value))


def act(ctx: Any, value: Any) -> Any:
    return [value]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with sidecar_address() as address, TaskHubGrpcWorker(host_address=address) as worker:
        for orchestrator in (echo, wait_for_go, fail, start_child, call_act):
            worker.add_orchestrator(orchestrator)
        worker.add_activity(act)
        worker.start()
        yield address


def test_an_orchestration_is_started_and_waited_for(client: TaskHubGrpcClient) -> None:
    before = datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(seconds=1)
    instance_id = client.schedule_new_orchestration(echo, input={"a": [0, None, ""]})
    state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    assert state is not None
    assert (state.instance_id, state.name) == (instance_id, "echo")
    assert state.runtime_status is OrchestrationStatus.COMPLETED
    assert state.serialized_input == state.serialized_output == '{"a": [0, null, ""]}'
    assert before <= state.created_at <= state.last_updated_at
    assert state.created_at.tzinfo is None
    assert state.failure_details is None


def test_payloads_come_only_when_asked_for(client: TaskHubGrpcClient) -> None:
    instance_id = client.schedule_new_orchestration(echo, input=1)
    client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    state = client.get_orchestration_state(instance_id, fetch_payloads=False)
    assert state is not None
    assert state.serialized_input is None
    assert state.serialized_output is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (0, "0"),
        ("", '""'),
        (False, "false"),
        ([], "[]"),
        ({}, "{}"),
        ({"a": 1}, '{"a": 1}'),
        (None, None),
    ],
)
def test_events_arrive_with_their_data(
    client: TaskHubGrpcClient, data: Any, expected: str | None
) -> None:
    instance_id = client.schedule_new_orchestration(wait_for_go)
    started = client.wait_for_orchestration_start(instance_id, fetch_payloads=True, timeout=SOON)
    assert started is not None
    assert started.serialized_custom_status == "waiting"
    client.raise_orchestration_event(instance_id, "GO", data=data)
    state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    assert state is not None
    assert state.runtime_status is OrchestrationStatus.COMPLETED
    assert state.serialized_output == expected


def test_a_failure_has_details(client: TaskHubGrpcClient) -> None:
    instance_id = client.schedule_new_orchestration(fail)
    state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    assert state is not None
    assert state.runtime_status is OrchestrationStatus.FAILED
    with pytest.raises(OrchestrationFailedError, match=r"failed: no$") as raised:
        state.raise_if_failed()
    assert raised.value.failure_details.error_type == "ValueError"
    assert 'raise ValueError("no")' in (raised.value.failure_details.stack_trace or "")


def test_a_termination_ends_with_its_output_and_ends_children(client: TaskHubGrpcClient) -> None:
    child_id = f"child-{time.monotonic_ns()}"
    instance_id = client.schedule_new_orchestration(start_child, input=child_id)
    client.wait_for_orchestration_start(instance_id, timeout=SOON)
    deadline = time.monotonic() + SOON
    while client.get_orchestration_state(child_id) is None:
        assert time.monotonic() < deadline, "the child does not start"
        time.sleep(0.02)
    client.terminate_orchestration(instance_id, output={"why": 0})
    for each, output in ((instance_id, '{"why": 0}'), (child_id, None)):
        state = client.wait_for_orchestration_completion(each, timeout=SOON)
        assert state is not None
        assert state.runtime_status is OrchestrationStatus.TERMINATED
        if output is not None:
            assert state.serialized_output == output
    assert client.purge_orchestration(instance_id) == 2
    assert client.get_orchestration_state(child_id) is None


def test_a_suspended_orchestration_waits_until_it_is_resumed(client: TaskHubGrpcClient) -> None:
    instance_id = client.schedule_new_orchestration(wait_for_go)
    client.wait_for_orchestration_start(instance_id, timeout=SOON)
    client.suspend_orchestration(instance_id)
    deadline = time.monotonic() + SOON
    while True:
        state = client.get_orchestration_state(instance_id)
        assert state is not None
        if state.runtime_status is OrchestrationStatus.SUSPENDED:
            break
        assert time.monotonic() < deadline, f"still {state.runtime_status}"
        time.sleep(0.02)
    client.raise_orchestration_event(instance_id, "go", data=1)
    with pytest.raises(TimeoutError):
        client.wait_for_orchestration_completion(instance_id, timeout=0.3)
    client.resume_orchestration(instance_id)
    state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    assert state is not None
    assert state.serialized_output == "1"


def test_an_id_is_taken_while_its_orchestration_runs(client: TaskHubGrpcClient) -> None:
    instance_id = client.schedule_new_orchestration(wait_for_go)
    client.wait_for_orchestration_start(instance_id, timeout=SOON)
    with pytest.raises(grpc.RpcError) as raised:
        client.schedule_new_orchestration(wait_for_go, instance_id=instance_id)
    assert raised.value.code() is grpc.StatusCode.ALREADY_EXISTS
    client.terminate_orchestration(instance_id)


@pytest.mark.sidecars("embedded", "dapr", reason="keeps the ids of what has ended")
def test_the_id_of_an_orchestration_that_has_ended_is_free(client: TaskHubGrpcClient) -> None:
    instance_id = client.schedule_new_orchestration(echo, input=1)
    client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    again = client.schedule_new_orchestration(echo, input=2, instance_id=instance_id)
    state = client.wait_for_orchestration_completion(again, timeout=SOON)
    assert state is not None
    assert (again, state.serialized_output) == (instance_id, "2")


def test_an_orchestration_may_start_later(client: TaskHubGrpcClient) -> None:
    start_at = datetime.now(timezone.utc) + timedelta(seconds=0.6)
    instance_id = client.schedule_new_orchestration(echo, input=1, start_at=start_at)
    state = client.get_orchestration_state(instance_id)
    assert state is not None
    assert state.runtime_status is OrchestrationStatus.PENDING
    state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    assert state is not None
    assert state.last_updated_at >= start_at.replace(tzinfo=None)


def test_calls_on_a_missing_instance_say_so(client: TaskHubGrpcClient) -> None:
    assert client.get_orchestration_state("nobody") is None
    for call in (
        client.terminate_orchestration,
        client.suspend_orchestration,
        client.resume_orchestration,
        client.purge_orchestration,
    ):
        with pytest.raises(grpc.RpcError) as raised:
            call("nobody")
        assert "no such instance exists" in (raised.value.details() or "")


@pytest.mark.sidecars("embedded", "dapr", reason="gives an empty one")
def test_the_history_of_a_missing_instance_is_an_error(client: TaskHubGrpcClient) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        client.get_orchestration_history("nobody")
    details = raised.value.details() or ""
    assert "no such instance exists" in details or "'nobody' not found" in details


def test_a_history_tells_what_happened(client: TaskHubGrpcClient) -> None:
    instance_id = client.schedule_new_orchestration(call_act, input=3)
    client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    events = client.get_orchestration_history(instance_id)
    found = {event.event_type: event.attributes for event in events}
    assert found["executionStarted"]["name"] == "call_act"
    assert found["executionStarted"]["input"] == "3"
    assert found["taskScheduled"]["name"] == "act"
    assert found["taskCompleted"]["result"] == "[3]"
    assert found["executionCompleted"]["orchestrationStatus"] is OrchestrationStatus.COMPLETED
    assert all(event.timestamp is not None and event.serialized for event in events)


@pytest.mark.sidecars("embedded", "dapr", reason="gives all ids in one page, whatever its size")
def test_instance_ids_are_listed_page_by_page(client: TaskHubGrpcClient) -> None:
    made = {client.schedule_new_orchestration(wait_for_go) for _ in range(7)}
    listed: list[str] = []
    token = None
    for _ in range(10_000):  # a sidecar that is in use has many more
        page = client.list_instance_ids(page_size=3, continuation_token=token)
        assert len(page.instance_ids) <= 3
        listed += page.instance_ids
        token = page.continuation_token
        if token is None:
            break
    assert token is None
    assert made <= set(listed)
    assert len(listed) == len(set(listed))
    for instance_id in made:
        client.terminate_orchestration(instance_id)


def test_one_client_serves_many_threads(client: TaskHubGrpcClient) -> None:
    outputs: list[str | None] = []

    def run(number: int) -> None:
        instance_id = client.schedule_new_orchestration(echo, input=number)
        state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
        outputs.append(state.serialized_output if state else None)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert sorted(outputs, key=str) == sorted(map(str, range(16)))
