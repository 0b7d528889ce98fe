"""`durabletask.sidecar.Sidecar`: inside this process, in memory and on a file."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import grpc
import pytest

from durabletask.aio import AsyncTaskHubGrpcClient
from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.sidecar import Sidecar, SidecarError, backup
from durabletask.task import OrchestrationContext
from durabletask.worker import TaskHubGrpcWorker

pytestmark = pytest.mark.sidecars("embedded", reason="the embedded one is what is tested")


def method(channel: grpc.Channel, name: str) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(f"/TaskHubSidecarService/{name}")


def start_one(address: str, instance_id: str) -> None:
    with TaskHubGrpcClient(host_address=address) as client:
        client.schedule_new_orchestration("greet", instance_id=instance_id)


def status_of(address: str, instance_id: str) -> OrchestrationStatus | None:
    with TaskHubGrpcClient(host_address=address) as client:
        state = client.get_orchestration_state(instance_id)
        return None if state is None else state.runtime_status


def test_it_serves_inside_the_block_and_not_after_it() -> None:
    with Sidecar() as sidecar:
        address = sidecar.address
        assert address.startswith("127.0.0.1:")
        start_one(address, "one")
        assert status_of(address, "one") is OrchestrationStatus.PENDING
    with pytest.raises(RuntimeError, match="not running"):
        _ = sidecar.address
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as error:
        method(channel, "Hello")(b"", timeout=10)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


def test_it_can_be_started_again() -> None:
    sidecar = Sidecar()
    for _ in range(2):
        sidecar.start()
        assert status_of(sidecar.address, "one") is None, "what was in memory is gone"
        start_one(sidecar.address, "one")
        sidecar.stop()
    sidecar.stop()


def test_starting_it_twice_is_refused() -> None:
    with Sidecar() as sidecar, pytest.raises(RuntimeError, match="already running"):
        sidecar.start()


def test_many_run_side_by_side() -> None:
    with Sidecar() as one, Sidecar() as other:
        assert one.address != other.address
        start_one(one.address, "one")
        assert status_of(other.address, "one") is None


def test_a_file_survives_a_restart(tmp_path: Path) -> None:
    db = tmp_path / "hub.db"
    with Sidecar(db=db) as sidecar:
        start_one(sidecar.address, "one")
        with pytest.raises(SidecarError, match="in use by another process"):
            Sidecar(db=db).start()
    with Sidecar(db=str(db)) as sidecar:
        assert status_of(sidecar.address, "one") is OrchestrationStatus.PENDING


def test_a_port_in_use_is_an_error_that_names_it() -> None:
    with Sidecar() as sidecar:
        port = int(sidecar.address.rpartition(":")[2])
        with pytest.raises(SidecarError, match=f"port {port} is in use"):
            Sidecar(port=port).start()


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="port must be between 0 and 65535"):
        Sidecar(port=port)


def test_stopping_does_not_hold_up_other_threads() -> None:
    """A client that waits must not keep the sidecar from stopping, nor the other way round."""
    with Sidecar() as sidecar:
        start_one(sidecar.address, "one")
        errors: list[BaseException] = []
        begun = threading.Event()

        def wait() -> None:
            with grpc.insecure_channel(sidecar.address) as channel:
                call = method(channel, "WaitForInstanceCompletion")
                begun.set()
                try:
                    call(b"\n\x03one", timeout=60)
                except grpc.RpcError as error:
                    errors.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        begun.wait(10)
        before = time.monotonic()
        sidecar.stop()
        waiting.join(30)
        assert not waiting.is_alive(), "the wait outlived the sidecar"
        assert time.monotonic() - before < 10
        assert errors, "the wait ended without an answer, which is an error"


def use_after_fork(sidecar: Sidecar, answers: multiprocessing.SimpleQueue[str]) -> None:
    for use in (lambda: sidecar.address, sidecar.stop):
        try:
            use()
            answers.put("no error")
        except RuntimeError as error:
            answers.put(str(error))
    with Sidecar() as own:
        answers.put(own.address)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_is_told_that_the_sidecar_is_not_its_own() -> None:
    with Sidecar() as sidecar:
        context = multiprocessing.get_context("fork")
        answers: multiprocessing.SimpleQueue[str] = context.SimpleQueue()
        child = context.Process(target=use_after_fork, args=(sidecar, answers))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        for _ in range(2):
            assert "is a fork without its threads" in answers.get()
        assert answers.get().startswith("127.0.0.1:")
        assert status_of(sidecar.address, "one") is None, "the parent's goes on"


@pytest.fixture
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DAPR_API_TOKEN", raising=False)
    path = tmp_path / "token"
    path.write_text("secret\n")
    return path


def test_clients_and_workers_show_the_token_that_is_in_the_environment(
    token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greet(ctx: OrchestrationContext, name: str) -> str:
        return f"hello {name}"

    async def schedule(address: str) -> str:
        async with AsyncTaskHubGrpcClient(host_address=address) as client:
            return await client.schedule_new_orchestration(greet, input="you")

    with Sidecar(api_token_file=token_file) as sidecar:
        with pytest.raises(grpc.RpcError) as error:
            start_one(sidecar.address, "one")
        assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with TaskHubGrpcClient(
            host_address=sidecar.address, metadata=[("dapr-api-token", "secret")]
        ) as client:
            client.schedule_new_orchestration("greet", instance_id="one")

        monkeypatch.setenv("DAPR_API_TOKEN", "secret")
        with TaskHubGrpcWorker(host_address=sidecar.address) as worker:
            worker.add_orchestrator(greet)
            worker.start()
            instance_id = asyncio.run(schedule(sidecar.address))
            with TaskHubGrpcClient(host_address=sidecar.address) as client:
                state = client.wait_for_orchestration_completion(instance_id, timeout=30)
        assert state is not None
        assert state.serialized_output == '"hello you"'


def test_other_machines_are_not_served_without_protection(tmp_path: Path) -> None:
    with pytest.raises(SidecarError, match="--insecure"):
        Sidecar(host="0.0.0.0").start()
    with pytest.raises(SidecarError, match="can not be read"):
        Sidecar(api_token_file=tmp_path / "none").start()
    with pytest.raises(SidecarError, match="need each other"):
        Sidecar(tls_cert=tmp_path / "none").start()
    with pytest.raises(ValueError, match="max_message_bytes"):
        Sidecar(max_message_bytes=0)


def test_a_database_can_be_copied_while_its_sidecar_is_at_work(tmp_path: Path) -> None:
    db, copy = tmp_path / "hub.db", tmp_path / "copy.db"
    with Sidecar(db=db) as sidecar:
        start_one(sidecar.address, "one")
        assert backup(db, copy) == copy.stat().st_size
        start_one(sidecar.address, "two")
        with pytest.raises(SidecarError, match="already"):
            backup(db, copy)
    with Sidecar(db=copy) as sidecar:
        assert status_of(sidecar.address, "one") is OrchestrationStatus.PENDING
        assert status_of(sidecar.address, "two") is None
    with pytest.raises(SidecarError, match="no such file"):
        backup(tmp_path / "none", tmp_path / "copy2.db")


def test_what_has_ended_is_forgotten_after_as_long_as_it_is_told_to_be_kept() -> None:
    week = timedelta(days=7)
    with (
        Sidecar(time_skipping=True, retain={OrchestrationStatus.TERMINATED: week}) as sidecar,
        TaskHubGrpcClient(host_address=sidecar.address) as client,
    ):
        later = datetime(2100, 1, 1, tzinfo=timezone.utc)
        client.schedule_new_orchestration("greet", instance_id="one", start_at=later)
        client.terminate_orchestration("one")
        assert status_of(sidecar.address, "one") is OrchestrationStatus.TERMINATED
        sidecar.skip(week - timedelta(seconds=1))
        assert status_of(sidecar.address, "one") is OrchestrationStatus.TERMINATED
        sidecar.skip(timedelta(seconds=1))
        assert status_of(sidecar.address, "one") is None


def test_nothing_is_kept_by_rules_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="nothing ends as 'RUNNING'"):
        Sidecar(retain={OrchestrationStatus.RUNNING: timedelta(days=1)})
    with pytest.raises(ValueError, match="FAILED can not be kept for"):
        Sidecar(retain={"FAILED": timedelta(days=-1)})


@pytest.mark.parametrize("name", ["StartInstance", "CompleteActivityTask", "GetInstanceHistory"])
def test_a_request_that_can_not_be_decoded_is_the_caller_s_fault(name: str) -> None:
    with (
        Sidecar() as sidecar,
        grpc.insecure_channel(sidecar.address) as channel,
        pytest.raises(grpc.RpcError) as error,
    ):
        method(channel, name)(b"\xff\xff", timeout=10)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "decode" in (error.value.details() or "")
