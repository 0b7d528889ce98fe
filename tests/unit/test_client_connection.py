"""Both clients on a sidecar that goes away, comes back, and answers what a test wants."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from durabletask.aio import AsyncTaskHubGrpcClient
from durabletask.client import TaskHubGrpcClient

from support import wire
from support.fake_sidecar import FakeSidecar

SOON = 20.0
COMPLETED = wire.message((1, 1), (2, wire.message((1, "id"), (2, "name"), (4, 1))))
WAITS = ["WaitForInstanceStart", "WaitForInstanceCompletion"]


@pytest.fixture
def sidecar() -> Iterator[FakeSidecar]:
    with FakeSidecar() as sidecar:
        yield sidecar


class Both:
    """Calls the same method of the synchronous or the asyncio client."""

    def __init__(self, kind: str):
        self.kind = kind

    def __call__(self, address: str, method: str, *args: Any, **kwargs: Any) -> Any:
        options = kwargs.pop("client", {})
        if self.kind == "sync":
            with TaskHubGrpcClient(host_address=address, **options) as client:
                return getattr(client, method)(*args, **kwargs)

        async def call() -> Any:
            async with AsyncTaskHubGrpcClient(host_address=address, **options) as client:
                return await getattr(client, method)(*args, **kwargs)

        return asyncio.run(call())


@pytest.fixture(params=["sync", "aio"])
def call(request: pytest.FixtureRequest) -> Both:
    return Both(request.param)


def method_of(wait: str) -> str:
    return {
        "WaitForInstanceStart": "wait_for_orchestration_start",
        "WaitForInstanceCompletion": "wait_for_orchestration_completion",
    }[wait]


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("timeout", [0, None, SOON])
def test_a_wait_survives_a_sidecar_that_goes_away_and_comes_back(
    call: Both, sidecar: FakeSidecar, wait: str, timeout: float | None
) -> None:
    arrived = threading.Event()

    def hang(request: bytes, context: grpc.ServicerContext) -> bytes:
        arrived.set()
        gone = threading.Event()
        context.add_callback(gone.set)
        gone.wait(SOON)
        return b""

    def bounce() -> None:
        assert arrived.wait(SOON)
        sidecar.stop()
        sidecar.handlers[wait] = lambda request, context: COMPLETED
        sidecar.start()

    sidecar.handlers[wait] = hang
    bouncing = threading.Thread(target=bounce)
    bouncing.start()
    state = call(sidecar.address, method_of(wait), "id", timeout=timeout)
    bouncing.join(SOON)
    assert state.name == "name"


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Too many pings"),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
        (grpc.StatusCode.UNKNOWN, "Stream removed"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "GOAWAY received; too_many_pings"),
        (grpc.StatusCode.CANCELLED, "server is shutting down"),
        # Dapr, while workers restart:
        (
            grpc.StatusCode.FAILED_PRECONDITION,
            "did not find address for actor 'dapr.internal.default.app.workflow/id'",
        ),
        (
            grpc.StatusCode.UNKNOWN,
            "failed to create actor: actor type dapr.internal.default.app.workflow not registered",
        ),
        (grpc.StatusCode.UNKNOWN, "actor is closed, cannot handle deactivated"),
    ],
)
def test_a_wait_survives_all_ways_of_losing_its_sidecar_or_workers(
    call: Both, sidecar: FakeSidecar, code: grpc.StatusCode, details: str
) -> None:
    calls = 0

    def fail_twice(request: bytes, context: grpc.ServicerContext) -> bytes:
        nonlocal calls
        calls += 1
        if calls <= 2:
            context.abort(code, details)
        return COMPLETED

    sidecar.handlers["WaitForInstanceCompletion"] = fail_twice
    state = call(sidecar.address, "wait_for_orchestration_completion", "id", timeout=SOON)
    assert state.name == "name"
    assert calls == 3


@pytest.mark.parametrize(("wait", "goal"), [(WAITS[0], "start"), (WAITS[1], "complete")])
def test_a_wait_ends_when_its_time_is_up(
    call: Both, sidecar: FakeSidecar, wait: str, goal: str
) -> None:
    def hang(request: bytes, context: grpc.ServicerContext) -> bytes:
        gone = threading.Event()
        context.add_callback(gone.set)
        gone.wait(SOON)
        return b""

    sidecar.handlers[wait] = hang
    message = f"^Timed-out waiting for the orchestration to {goal}$"
    with pytest.raises(TimeoutError, match=message):
        call(sidecar.address, method_of(wait), "id", timeout=0.2)


def test_a_wait_without_a_sidecar_ends_when_its_time_is_up(call: Both) -> None:
    with FakeSidecar() as gone:
        address = gone.address
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="Timed-out waiting for the orchestration to complete"):
        call(address, "wait_for_orchestration_completion", "id", timeout=0.5)
    assert time.monotonic() - began < SOON / 2


def test_a_deadline_set_by_somebody_else_does_not_end_a_wait(
    call: Both, sidecar: FakeSidecar
) -> None:
    calls = 0

    def impatient_proxy(request: bytes, context: grpc.ServicerContext) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 1:
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "upstream request timeout")
        return COMPLETED

    sidecar.handlers["WaitForInstanceStart"] = impatient_proxy
    assert call(sidecar.address, "wait_for_orchestration_start", "id", timeout=SOON).name == "name"


@pytest.mark.parametrize("code", [grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNKNOWN])
def test_other_errors_reach_the_caller(
    call: Both, sidecar: FakeSidecar, code: grpc.StatusCode
) -> None:
    def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(code, "no such instance exists")
        raise AssertionError("unreachable")

    for method in (*WAITS, "RaiseEvent"):
        sidecar.handlers[method] = refuse
    calls: list[Callable[[], Any]] = [
        lambda: call(sidecar.address, "wait_for_orchestration_start", "id"),
        lambda: call(sidecar.address, "wait_for_orchestration_completion", "id"),
        lambda: call(sidecar.address, "raise_orchestration_event", "id", "event"),
    ]
    for make in calls:
        with pytest.raises(grpc.RpcError) as raised:
            make()
        error: Any = raised.value
        assert error.code() is code
        assert error.details() == "no such instance exists"


def test_no_instance_is_none(call: Both, sidecar: FakeSidecar) -> None:
    assert call(sidecar.address, "get_orchestration_state", "id") is None
    assert call(sidecar.address, "wait_for_orchestration_start", "id", timeout=SOON) is None
    assert call(sidecar.address, "wait_for_orchestration_completion", "id", timeout=SOON) is None


def test_metadata_goes_with_every_call(call: Both, sidecar: FakeSidecar) -> None:
    metadata = [("dapr-api-token", "secret")]
    call(sidecar.address, "suspend_orchestration", "id", client={"metadata": metadata})
    assert sidecar.metadata[-1]["dapr-api-token"] == "secret"


def test_states_of_any_size_arrive(call: Both, sidecar: FakeSidecar) -> None:
    output = "x" * (6 * 1024 * 1024)
    big = wire.message((1, 1), (2, wire.message((1, "id"), (4, 1), (9, wire.text(output)))))
    sidecar.handlers["GetInstance"] = lambda request, context: big
    state = call(sidecar.address, "get_orchestration_state", "id")
    assert state.serialized_output == output


def test_all_requests_say_what_they_were_given(call: Both, sidecar: FakeSidecar) -> None:
    requests: dict[str, bytes] = {}

    def record(method: str, response: bytes = b"") -> None:
        def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
            requests[method] = request
            return response

        sidecar.handlers[method] = handle

    record("StartInstance", wire.message((1, "new")))
    record("RaiseEvent")
    record("TerminateInstance")
    record("SuspendInstance")
    record("ResumeInstance")
    record("PurgeInstances", wire.message((1, 3)))
    record("RerunWorkflowFromEvent", wire.message((1, "copy")))
    record("ListInstanceIDs", wire.message((1, "a"), (1, "b"), (2, "next")))
    record("GetInstanceHistory", wire.message((1, wire.message((1, -1), (14, b"")))))
    at = sidecar.address

    assert call(at, "schedule_new_orchestration", "greet", input=0, instance_id="id") == "new"
    assert wire.string(requests["StartInstance"], 4, 1) == "0"
    call(at, "raise_orchestration_event", "id", "event", data=False)
    assert wire.string(requests["RaiseEvent"], 3, 1) == "false"
    call(at, "terminate_orchestration", "id", output="", recursive=False)
    assert wire.string(requests["TerminateInstance"], 2, 1) == '""'
    assert wire.number(requests["TerminateInstance"], 3) == 0
    call(at, "suspend_orchestration", "id")
    call(at, "resume_orchestration", "id")
    assert wire.string(requests["SuspendInstance"], 1) == "id"
    assert wire.string(requests["ResumeInstance"], 1) == "id"
    assert call(at, "purge_orchestration", "id", False, force=True) == 3
    assert wire.fields(requests["PurgeInstances"]) == {1: [b"id"], 4: [1]}
    assert call(at, "rerun_orchestration", "id", 4, new_instance_id="copy") == "copy"
    assert wire.number(requests["RerunWorkflowFromEvent"], 2) == 4
    page = call(at, "list_instance_ids", page_size=2, continuation_token="t")
    assert page == (["a", "b"], "next")
    assert wire.fields(requests["ListInstanceIDs"]) == {1: [b"t"], 2: [2]}
    history = call(at, "get_orchestration_history", "id")
    assert [event.event_type for event in history] == ["orchestratorStarted"]


def test_a_lambda_cannot_be_started(call: Both, sidecar: FakeSidecar) -> None:
    with pytest.raises(ValueError, match="Cannot infer a name from a lambda function"):
        call(sidecar.address, "schedule_new_orchestration", lambda ctx, _: None)


def test_closing_a_client_ends_its_waits(sidecar: FakeSidecar) -> None:
    arrived = threading.Event()

    def hang(request: bytes, context: grpc.ServicerContext) -> bytes:
        arrived.set()
        gone = threading.Event()
        context.add_callback(gone.set)
        gone.wait(SOON)
        return b""

    sidecar.handlers["WaitForInstanceCompletion"] = hang
    client = TaskHubGrpcClient(host_address=sidecar.address)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            client.wait_for_orchestration_completion("id")
        except grpc.RpcError as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert arrived.wait(SOON)
    client.close()
    client.close()
    waiting.join(SOON)
    assert not waiting.is_alive()
    assert len(errors) == 1


def hanging(sidecar: FakeSidecar) -> threading.Event:
    arrived = threading.Event()

    def hang(request: bytes, context: grpc.ServicerContext) -> bytes:
        gone = threading.Event()
        context.add_callback(gone.set)
        arrived.set()
        gone.wait(SOON)
        return b""

    sidecar.handlers["WaitForInstanceCompletion"] = hang
    return arrived


def test_closing_an_asyncio_client_fails_its_waits_as_a_call_fails(sidecar: FakeSidecar) -> None:
    arrived = hanging(sidecar)

    async def close_while_waiting() -> grpc.StatusCode:
        client = AsyncTaskHubGrpcClient(host_address=sidecar.address)
        waiting = asyncio.ensure_future(client.wait_for_orchestration_completion("id"))
        assert await asyncio.to_thread(arrived.wait, SOON)
        await client.aclose()
        with pytest.raises(grpc.aio.AioRpcError, match="The client was closed") as caught:
            await asyncio.wait_for(waiting, SOON)
        code: grpc.StatusCode = caught.value.code()
        return code

    assert asyncio.run(close_while_waiting()) is grpc.StatusCode.CANCELLED


def test_a_cancelled_wait_is_cancelled(sidecar: FakeSidecar) -> None:
    arrived = hanging(sidecar)

    async def cancel_while_waiting() -> None:
        async with AsyncTaskHubGrpcClient(host_address=sidecar.address) as client:
            waiting = asyncio.ensure_future(client.wait_for_orchestration_completion("id"))
            assert await asyncio.to_thread(arrived.wait, SOON)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(waiting, SOON)

    asyncio.run(cancel_while_waiting())


@pytest.mark.parametrize("method", [method_of(wait) for wait in WAITS])
def test_a_timeout_that_is_no_number_is_refused(
    call: Both, sidecar: FakeSidecar, method: str
) -> None:
    with pytest.raises(ValueError, match="timeout must be a number of seconds, found nan"):
        call(sidecar.address, method, "id", timeout=float("nan"))
    with pytest.raises(TypeError, match="must be real number, not str"):
        call(sidecar.address, method, "id", timeout="5")


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("id", 42), r"event_name must be a string, found 42 \(int\)"),
        ((7, "event"), r"instance_id must be a string, found 7 \(int\)"),
    ],
)
def test_an_event_whose_name_is_no_string_is_refused(
    call: Both, arguments: tuple[Any, ...], wrong: str
) -> None:
    with pytest.raises(TypeError, match=wrong):
        call("127.0.0.1:1", "raise_orchestration_event", *arguments)
