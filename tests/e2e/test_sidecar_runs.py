"""The embedded sidecar under real orchestrations: what it keeps, refuses and hands out again."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from durabletask import task
from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.sidecar import Sidecar
from durabletask.worker import TaskHubGrpcWorker

pytestmark = pytest.mark.sidecars("embedded", reason="the embedded one is what is tested")


def hello(_: task.ActivityContext, name: str) -> str:
    return f"Hello {name}!"


def chain(ctx: task.OrchestrationContext, names: list[str]) -> Generator[task.Task[Any], Any, Any]:
    greetings = []
    for name in names:
        greetings.append((yield ctx.call_activity(hello, input=name)))
    return greetings


def wait_for_go(ctx: task.OrchestrationContext, _: object) -> Generator[task.Task[Any], Any, Any]:
    return (yield ctx.wait_for_external_event("go"))


def long_sleep(ctx: task.OrchestrationContext, _: object) -> Generator[task.Task[Any], Any, Any]:
    yield ctx.create_timer(timedelta(days=30))


def worker_at(address: str) -> TaskHubGrpcWorker:
    worker = TaskHubGrpcWorker(host_address=address)
    for orchestrator in (chain, wait_for_go, long_sleep):
        worker.add_orchestrator(orchestrator)
    worker.add_activity(hello)
    return worker


@pytest.fixture
def client() -> Iterator[TaskHubGrpcClient]:
    with (
        Sidecar() as sidecar,
        worker_at(sidecar.address) as worker,
        TaskHubGrpcClient(host_address=sidecar.address) as client,
    ):
        worker.start()
        yield client


def test_a_chain_runs(client: TaskHubGrpcClient) -> None:
    instance = client.schedule_new_orchestration(chain, input=["Tokyo", "London"])
    state = client.wait_for_orchestration_completion(instance, timeout=30)
    assert state is not None
    assert state.serialized_output == '["Hello Tokyo!", "Hello London!"]'


def test_an_id_in_use_is_refused_and_a_finished_one_is_not(client: TaskHubGrpcClient) -> None:
    client.schedule_new_orchestration(wait_for_go, instance_id="one")
    with pytest.raises(grpc.RpcError) as error:
        client.schedule_new_orchestration(wait_for_go, instance_id="one")
    assert error.value.code() is grpc.StatusCode.ALREADY_EXISTS
    client.raise_orchestration_event("one", "GO", data=1)
    client.wait_for_orchestration_completion("one", timeout=30)
    client.raise_orchestration_event("one", "go", data=2)  # dropped
    client.schedule_new_orchestration(chain, instance_id="one", input=["again"])
    state = client.wait_for_orchestration_completion("one", timeout=30)
    assert state is not None
    assert state.serialized_output == '["Hello again!"]'


def test_what_does_not_exist_is_said_not_to(client: TaskHubGrpcClient) -> None:
    assert client.get_orchestration_state("nobody") is None
    for call in (
        lambda: client.raise_orchestration_event("nobody", "go"),
        lambda: client.terminate_orchestration("nobody"),
        lambda: client.suspend_orchestration("nobody"),
        lambda: client.resume_orchestration("nobody"),
        lambda: client.purge_orchestration("nobody"),
    ):
        with pytest.raises(grpc.RpcError) as error:
            call()
        assert "no such instance exists" in (error.value.details() or "")


def test_suspend_resume_and_terminate_have_happened_when_they_return(
    client: TaskHubGrpcClient,
) -> None:
    client.schedule_new_orchestration(long_sleep, instance_id="one")
    client.wait_for_orchestration_start("one", timeout=30)

    def status() -> OrchestrationStatus:
        state = client.get_orchestration_state("one")
        assert state is not None
        return state.runtime_status

    client.suspend_orchestration("one")
    assert status() is OrchestrationStatus.SUSPENDED
    client.resume_orchestration("one")
    assert status() is OrchestrationStatus.RUNNING
    client.terminate_orchestration("one", output="enough")
    assert status() is OrchestrationStatus.TERMINATED


def test_an_orchestration_goes_on_after_a_restart_of_sidecar_and_worker(tmp_path: Path) -> None:
    db = tmp_path / "hub.db"
    with Sidecar(db=db) as sidecar, worker_at(sidecar.address) as worker:
        worker.start()
        with TaskHubGrpcClient(host_address=sidecar.address) as client:
            client.schedule_new_orchestration(wait_for_go, instance_id="one")
            client.wait_for_orchestration_start("one", timeout=30)
            worker.stop()
            client.raise_orchestration_event("one", "go", data="kept")
    with Sidecar(db=db) as sidecar, worker_at(sidecar.address) as worker:
        worker.start()
        with TaskHubGrpcClient(host_address=sidecar.address) as client:
            state = client.wait_for_orchestration_completion("one", timeout=30)
    assert state is not None
    assert state.serialized_output == '"kept"'


def test_an_activity_whose_worker_goes_away_is_run_by_another() -> None:
    begun, end = threading.Event(), threading.Event()
    runs: list[str] = []

    def stuck(_: task.ActivityContext, __: object) -> str:
        runs.append("first")
        begun.set()
        end.wait(60)
        return "late"

    def quick(_: task.ActivityContext, __: object) -> str:
        runs.append("second")
        return "done"

    def orchestrator(
        ctx: task.OrchestrationContext, _: object
    ) -> Generator[task.Task[Any], Any, Any]:
        return (yield ctx.call_activity("work"))

    with Sidecar() as sidecar, TaskHubGrpcClient(host_address=sidecar.address) as client:
        first = TaskHubGrpcWorker(host_address=sidecar.address, stop_timeout=0.2)
        second = TaskHubGrpcWorker(host_address=sidecar.address)
        for worker, work in ((first, stuck), (second, quick)):
            worker.add_orchestrator(orchestrator)
            worker._registry.add_named_activity("work", work)
        try:
            first.start()
            instance = client.schedule_new_orchestration(orchestrator)
            assert begun.wait(30), "the activity did not reach the first worker"
            first.stop()
            second.start()
            state = client.wait_for_orchestration_completion(instance, timeout=30)
        finally:
            end.set()
            second.stop()
    assert state is not None
    assert state.serialized_output == '"done"'
    assert runs == ["first", "second"]
