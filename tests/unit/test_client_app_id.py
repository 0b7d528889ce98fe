"""Calls of both clients that are for another app than the sidecar's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from durabletask._client import apps
from durabletask.aio import AsyncTaskHubGrpcClient
from durabletask.client import TaskHubGrpcClient

from support import messages, wire
from support.fake_sidecar import FakeSidecar

# The client's method and its arguments; the sidecar's method, and its request.
CALLS: list[tuple[str, tuple[Any, ...], str, str]] = [
    ("schedule_new_orchestration", ("name",), "StartInstance", "CreateInstanceRequest"),
    ("get_orchestration_state", ("id",), "GetInstance", "GetInstanceRequest"),
    ("wait_for_orchestration_start", ("id",), "WaitForInstanceStart", "GetInstanceRequest"),
    (
        "wait_for_orchestration_completion",
        ("id",),
        "WaitForInstanceCompletion",
        "GetInstanceRequest",
    ),
    ("raise_orchestration_event", ("id", "event"), "RaiseEvent", "RaiseEventRequest"),
    ("terminate_orchestration", ("id",), "TerminateInstance", "TerminateRequest"),
    ("suspend_orchestration", ("id",), "SuspendInstance", "SuspendRequest"),
    ("resume_orchestration", ("id",), "ResumeInstance", "ResumeRequest"),
    ("purge_orchestration", ("id",), "PurgeInstances", "PurgeInstancesRequest"),
    (
        "rerun_orchestration",
        ("id", 1),
        "RerunWorkflowFromEvent",
        "RerunWorkflowFromEventRequest",
    ),
]


@pytest.fixture
def sidecar() -> Iterator[FakeSidecar]:
    with FakeSidecar() as sidecar:
        yield sidecar


def called(kind: str, address: str, method: str, *args: Any, **kwargs: Any) -> Any:
    if kind == "sync":
        with TaskHubGrpcClient(host_address=address) as client:
            return getattr(client, method)(*args, **kwargs)

    async def call() -> Any:
        async with AsyncTaskHubGrpcClient(host_address=address) as client:
            return await getattr(client, method)(*args, **kwargs)

    return asyncio.run(call())


def requested(
    sidecar: FakeSidecar, kind: str, call: tuple[str, tuple[Any, ...], str, str], **kwargs: Any
) -> Any:
    method, args, theirs, message = call
    seen: list[bytes] = []

    def answer(request: bytes, _: Any) -> bytes:
        seen.append(request)
        return wire.message((1, "id")) if message.startswith(("Create", "Rerun")) else b""

    sidecar.handlers[theirs] = answer
    called(kind, sidecar.address, method, *args, **kwargs)
    return getattr(messages, message).FromString(seen[0])


@pytest.mark.parametrize("kind", ["sync", "aio"])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[2])
def test_a_call_names_the_app_it_is_for(
    sidecar: FakeSidecar, kind: str, call: tuple[str, tuple[Any, ...], str, str]
) -> None:
    request = requested(sidecar, kind, call, app_id="other")
    assert request.router.targetAppID == "other"
    assert not request.router.sourceAppID, "the sidecar says where a call comes from"
    assert not requested(sidecar, kind, call, app_id=None).HasField("router")


@pytest.mark.parametrize("kind", ["sync", "aio"])
def test_a_start_may_insist_on_an_id_that_nothing_had(sidecar: FakeSidecar, kind: str) -> None:
    assert requested(sidecar, kind, CALLS[0], unique_instance_id=True).enforceUniqueInstanceId
    assert not requested(sidecar, kind, CALLS[0]).enforceUniqueInstanceId


def dapr(version: str) -> bytes:
    """What a Dapr sidecar says of itself, among much else."""
    component = wire.message((1, "statestore"), (2, "state.in-memory"))
    return wire.message((1, "own"), (3, component), (4, wire.message((1, "k"))), (8, version))


@pytest.mark.parametrize("kind", ["sync", "aio"])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[2])
def test_another_app_is_refused_where_dapr_would_mean_its_own(
    sidecar: FakeSidecar, kind: str, call: tuple[str, tuple[Any, ...], str, str]
) -> None:
    sidecar.handlers["GetMetadata"] = lambda *_: dapr("1.18.3")
    method, args, theirs, _ = call
    went_out: list[bytes] = []

    def answer(request: bytes, _: Any) -> bytes:
        went_out.append(request)
        return b""

    sidecar.handlers[theirs] = answer
    with pytest.raises(
        NotImplementedError, match=r"app_id='other' needs .*1\.19 .*is 1\.18\.3.*'own'"
    ):
        called(kind, sidecar.address, method, *args, app_id="other")
    assert not went_out


@pytest.mark.parametrize("kind", ["sync", "aio"])
@pytest.mark.parametrize(
    ("version", "app_id"),
    [
        ("1.18.3", "own"),
        ("1.19.0-dev", "other"),
        ("v2.0", "other"),
        ("edge", "other"),
        ("", "other"),
    ],
)
def test_other_releases_are_told_the_app(
    sidecar: FakeSidecar, kind: str, version: str, app_id: str
) -> None:
    sidecar.handlers["GetMetadata"] = lambda *_: dapr(version)
    assert requested(sidecar, kind, CALLS[1], app_id=app_id).router.targetAppID == app_id


@pytest.mark.parametrize("metadata", [b"\xff", b"\x42\x09abc", b"\x42\x01\xff", b"\x0f", b"x" * 99])
def test_what_says_nothing_refuses_nothing(metadata: bytes) -> None:
    apps.runtime_of(metadata).check("other")
