"""Listing and purging on sidecars that only know ids: one orchestration at a time, several at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import grpc
import pytest

from durabletask.aio import AsyncTaskHubGrpcClient
from durabletask.client import OrchestrationPage, OrchestrationStatus, TaskHubGrpcClient

from support import wire
from support.fake_sidecar import FakeSidecar

COMPLETED, FAILED, RUNNING = 1, 3, 0
EPOCH = 1_700_000_000


class Instances:
    """Instances of a sidecar without our service."""

    def __init__(self, sidecar: FakeSidecar) -> None:
        self.purged: list[str] = []
        self.states: dict[str, bytes] = {}
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        self._together = threading.Barrier(16)
        self.wait_for_others = False
        self.code, self.details = grpc.StatusCode.UNIMPLEMENTED, "unknown service"
        sidecar.handlers |= {
            "ListInstances": self._unknown,
            "ListInstanceIDs": self._ids,
            "GetInstance": self._state,
            "PurgeInstances": self._purge,
        }

    def add(self, instance_id: str, status: int, age: int = 0, parent: str | None = None) -> None:
        at = wire.message((1, EPOCH + age))
        fields: list[tuple[int, wire.Value]] = [
            (1, instance_id),
            (2, "greet"),
            (4, status),
            (6, at),
            (7, at),
        ]
        if parent is not None:
            fields.append((14, wire.text(parent)))
        self.states[instance_id] = wire.message((1, 1), (2, wire.message(*fields)))

    def _unknown(self, request: bytes, context: Any) -> bytes:
        context.abort(self.code, self.details)
        raise AssertionError

    def _ids(self, request: bytes, context: Any) -> bytes:
        begin = int(wire.string(request, 1) or 0)
        size = wire.number(request, 2) or 100
        ids = list(self.states)
        fields: list[tuple[int, wire.Value]] = [(1, each) for each in ids[begin : begin + size]]
        if begin + size < len(ids):
            fields.append((2, str(begin + size)))
        return wire.message(*fields)

    def _state(self, request: bytes, context: Any) -> bytes:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        if self.wait_for_others:
            self._together.wait(20)
        with self._lock:
            self.at_once -= 1
        return self.states.get(wire.string(request, 1) or "", b"")

    def _purge(self, request: bytes, context: Any) -> bytes:
        instance_id = wire.string(request, 1) or ""
        if instance_id not in self.states:
            return self._unknown(request, context)
        self.purged.append(instance_id)
        return wire.message((1, 1))


@pytest.fixture
def sidecar() -> Iterator[FakeSidecar]:
    with FakeSidecar() as sidecar:
        yield sidecar


@pytest.fixture
def instances(sidecar: FakeSidecar) -> Instances:
    return Instances(sidecar)


@pytest.fixture
def client(sidecar: FakeSidecar) -> Iterator[TaskHubGrpcClient]:
    with TaskHubGrpcClient(host_address=sidecar.address) as client:
        yield client


def ids(page: OrchestrationPage) -> list[str]:
    return [state.instance_id for state in page.states]


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.UNIMPLEMENTED, "unknown service"),
        (
            grpc.StatusCode.UNKNOWN,
            "failed to proxy request: required metadata dapr-callee-app-id or dapr-app-id not found",
        ),
    ],
    ids=["durabletask-go", "dapr"],
)
def test_where_only_ids_are_known_each_is_asked_for(
    code: grpc.StatusCode, details: str, client: TaskHubGrpcClient, instances: Instances
) -> None:
    instances.code, instances.details = code, details
    instances.add("a-1", COMPLETED)
    instances.add("a-2", FAILED, age=10)
    instances.add("b-1", RUNNING, parent="a-2")
    assert ids(client.list_orchestrations()) == ["a-1", "a-2", "b-1"]
    assert ids(client.list_orchestrations(status=OrchestrationStatus.FAILED)) == ["a-2"]
    assert ids(client.list_orchestrations(name="other")) == []
    assert ids(client.list_orchestrations(instance_id_prefix="a-")) == ["a-1", "a-2"]
    assert ids(client.list_orchestrations(roots_only=True)) == ["a-1", "a-2"]
    moment = datetime.fromtimestamp(EPOCH, timezone.utc)
    assert ids(client.list_orchestrations(created_to=moment)) == ["a-1", "b-1"]
    assert ids(client.list_orchestrations(updated_from=moment + timedelta(seconds=1))) == ["a-2"]


def test_pages_without_any_that_fits_are_passed_over(
    client: TaskHubGrpcClient, instances: Instances
) -> None:
    for number in range(10):
        instances.add(str(number), FAILED if number in (5, 8) else COMPLETED)
    first = client.list_orchestrations(status=OrchestrationStatus.FAILED, page_size=2)
    assert ids(first) == ["5"]
    second = client.list_orchestrations(
        status=OrchestrationStatus.FAILED, page_size=2, continuation_token=first.continuation_token
    )
    assert (ids(second), second.continuation_token) == (["8"], None)


def test_sixteen_are_asked_for_at_once(
    sidecar: FakeSidecar, client: TaskHubGrpcClient, instances: Instances
) -> None:
    for number in range(32):
        instances.add(str(number), COMPLETED)
    instances.wait_for_others = True

    async def aio() -> OrchestrationPage:
        async with AsyncTaskHubGrpcClient(host_address=sidecar.address) as client:
            return await client.list_orchestrations()

    assert len(client.list_orchestrations().states) == 32
    assert len(asyncio.run(aio()).states) == 32
    assert instances.most_at_once == 16


def test_those_that_have_ended_are_purged_one_by_one(
    client: TaskHubGrpcClient, instances: Instances
) -> None:
    instances.add("done", COMPLETED)
    instances.add("failed", FAILED)
    instances.add("open", RUNNING)
    assert client.purge_orchestrations(status=[OrchestrationStatus.FAILED]) == 1
    assert instances.purged == ["failed"]
    assert client.purge_orchestrations() == 2
    assert sorted(instances.purged) == ["done", "failed", "failed"]


def test_other_failures_are_raised_as_they_are(
    sidecar: FakeSidecar, client: TaskHubGrpcClient, instances: Instances
) -> None:
    instances.code, instances.details = grpc.StatusCode.UNAUTHENTICATED, "who are you"
    with pytest.raises(grpc.RpcError) as caught:
        client.list_orchestrations()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED

    async def aio() -> None:
        async with AsyncTaskHubGrpcClient(host_address=sidecar.address) as client:
            await client.list_orchestrations()

    with pytest.raises(grpc.RpcError) as caught:
        asyncio.run(aio())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("size", [0, -1])
def test_a_page_holds_at_least_one(size: int, client: TaskHubGrpcClient) -> None:
    with pytest.raises(ValueError, match="page_size must be >= 1"):
        client.list_orchestrations(page_size=size)
