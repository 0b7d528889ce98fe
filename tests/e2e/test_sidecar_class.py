"""`durabletask.sidecar.Sidecar`: inside this process, in memory and on a file."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest

from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.sidecar import Sidecar, SidecarError

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
