"""What interceptors see: messages with protobuf, bytes without it, of clients and workers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import grpc
from grpc import aio as grpc_aio

from durabletask import _interceptors
from durabletask.aio import AsyncTaskHubGrpcClient
from durabletask.client import TaskHubGrpcClient
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.sidecar import Sidecar
from durabletask.worker import TaskHubGrpcWorker


class Observer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Notes the classes of what it sees, and changes inputs."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        if isinstance(request, pb.CreateInstanceRequest):
            request.input.value = '"changed"'
        call = continuation(details, request)
        answered = type(call.result()).__name__
        self.seen |= {type(request).__name__, answered}
        return call

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self.seen.add(type(request).__name__)
        return self._items(continuation(details, request))

    def _items(self, call: Any) -> Any:
        for item in call:
            self.seen.add(type(item).__name__)
            yield item


class AioObserver(grpc_aio.UnaryUnaryClientInterceptor):
    def __init__(self, answers: bool) -> None:
        self.seen: set[str] = set()
        self._answers = answers

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        call = await continuation(details, request)
        answer = await call
        self.seen |= {type(request).__name__, type(answer).__name__}
        return answer if self._answers else call


def echo(ctx: Any, value: Any) -> Any:
    return value


def test_interceptors_of_client_and_worker_see_messages() -> None:
    observer, of_worker = Observer(), Observer()
    with (
        Sidecar() as sidecar,
        TaskHubGrpcWorker(
            host_address=sidecar.address, interceptors=[of_worker], metadata=[("a", "b")]
        ) as worker,
        TaskHubGrpcClient(
            host_address=sidecar.address, interceptors=[observer], metadata=[("a", "b")]
        ) as client,
    ):
        worker.add_orchestrator(echo)
        worker.start()
        instance_id = client.schedule_new_orchestration(echo, input="given")
        state = client.wait_for_orchestration_completion(instance_id, timeout=30)
        assert state is not None
        assert state.serialized_output == '"changed"'
    assert observer.seen == {
        "CreateInstanceRequest",
        "CreateInstanceResponse",
        "GetInstanceRequest",
        "GetInstanceResponse",
    }
    assert {"GetWorkItemsRequest", "WorkItem", "OrchestratorResponse"} <= of_worker.seen


def test_interceptors_of_asyncio_clients_see_messages() -> None:
    async def run(address: str, answers: bool) -> set[str]:
        observer = AioObserver(answers)
        async with AsyncTaskHubGrpcClient(host_address=address, interceptors=[observer]) as client:
            assert await client.schedule_new_orchestration("echo", instance_id=str(answers))
        return observer.seen

    with Sidecar() as sidecar:
        for answers in (False, True):
            seen = asyncio.run(run(sidecar.address, answers))
            assert seen == {"CreateInstanceRequest", "CreateInstanceResponse"}


def test_one_place_decides_what_an_interceptor_sees() -> None:
    (once,) = _interceptors.adapted([Observer()], lambda path: None)
    assert _interceptors.adapted([once]) == [once]


def test_without_protobuf_interceptors_see_bytes() -> None:
    program = """
import sys
sys.modules["google.protobuf"] = None
import grpc
from durabletask.client import TaskHubGrpcClient
from durabletask.sidecar import Sidecar

class Observer(grpc.UnaryUnaryClientInterceptor):
    def intercept_unary_unary(self, continuation, details, request):
        print(type(request).__name__)
        return continuation(details, request)

with Sidecar() as sidecar, TaskHubGrpcClient(host_address=sidecar.address, interceptors=[Observer()]) as client:
    client.schedule_new_orchestration("any")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("bytes\n", 0), done.stderr
