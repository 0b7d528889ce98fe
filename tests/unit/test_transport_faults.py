"""Both transports on networks and on peers that fail: what is told, what is lost, and how soon it goes on."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.sidecar import Sidecar
from durabletask.worker import ConcurrencyOptions, TaskHubGrpcWorker

from support import wire
from support.fake_sidecar import FakeSidecar, activity_item
from support.proxy import Proxy

SOON = 20.0
TRANSPORTS = ["native", "grpcio"]

ROOT = Path(__file__).parent.parent.parent


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that answers whatever comes with the same bytes, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer, contextlib.suppress(OSError):
                    peer.settimeout(5)
                    peer.recv(1024)
                    peer.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(SOON)


def told(address: str, **options: Any) -> str:
    """What the error says of an address at which a worker finds no sidecar."""
    worker = TaskHubGrpcWorker(
        host_address=address, log_handler=logging.NullHandler(), transport="native", **options
    )
    with pytest.raises(RuntimeError) as raised:
        worker.start(timeout=1.0)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_what_is_no_sidecar_is_told_in_one_line() -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert "answers with HTTP/1: no gRPC server" in told(f"127.0.0.1:{port}")
        assert f"127.0.0.1:{port} does not speak TLS" in told(f"https://127.0.0.1:{port}")
    with answering(b"\x15\x03\x01\x00\x02\x02\x46") as port:
        assert "speaks TLS: use an address that begins with https://" in told(f"127.0.0.1:{port}")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert "Connection refused" in told(f"127.0.0.1:{port}")
    assert "nobody.invalid can not be resolved" in told("nobody.invalid:1")


def test_a_refused_token_is_told_in_one_line() -> None:
    def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such token")

    with FakeSidecar() as sidecar:
        sidecar.handlers["Hello"] = refuse
        assert "UNAUTHENTICATED: no such token" in told(sidecar.address)


def program(address: str, transport: Any) -> TaskHubGrpcWorker:
    def double(ctx: Any, number: int) -> int:
        return 2 * number

    async def increment(ctx: Any, number: int) -> int:
        return number + 1

    def orchestrate(ctx: Any, number: int) -> Any:
        for _ in range(5):
            number = yield ctx.call_activity(double, input=number)
            number = yield ctx.call_activity(increment, input=number)
        return number

    worker = TaskHubGrpcWorker(
        host_address=address,
        log_handler=logging.NullHandler(),
        transport=transport,
        keepalive_interval=0.2,
        stop_timeout=SOON,
    )
    worker.add_activity(double)
    worker.add_activity(increment)
    worker.add_orchestrator(orchestrate)
    return worker


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_instance_completes_on_a_network_that_resets_and_swallows(transport: str) -> None:
    with (
        Sidecar() as sidecar,
        Proxy(int(sidecar.address.rpartition(":")[2])) as proxy,
        program(proxy.address, transport) as worker,
        TaskHubGrpcClient(host_address=sidecar.address) as client,
    ):
        worker.start(timeout=SOON)
        run = worker._run
        started = []
        for fault in range(6):
            started += [
                client.schedule_new_orchestration("orchestrate", input=n) for n in range(10)
            ]
            if fault % 3 == 2:
                proxy.blackhole()
                # Two greetings without an answer, a second each.
                deadline = time.monotonic() + SOON
                while worker.is_worker_ready():
                    assert time.monotonic() < deadline, "the worker does not notice the silence"
                    time.sleep(0.01)
                proxy.pass_on()
            else:
                proxy.reset()
        for number, instance in enumerate(started):
            state = client.wait_for_orchestration_completion(instance, timeout=60)
            assert state is not None
            assert state.runtime_status is OrchestrationStatus.COMPLETED
            assert state.serialized_output == str(32 * (number % 10) + 31)
        assert worker._run is run, "the worker was started again"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED])
def test_reports_that_are_refused_for_now_or_answered_late_arrive_once(
    transport: Any, code: grpc.StatusCode
) -> None:
    seen: dict[str, int] = {}
    lock = threading.Lock()

    def complete(request: bytes, context: grpc.ServicerContext) -> bytes:
        token = wire.string(request, 5) or ""
        with lock:
            seen[token] = seen.get(token, 0) + 1
            first = seen[token] == 1
        if first and int(token) % 2:
            context.abort(code, "not now")
        if int(token) % 5 == 0:
            time.sleep(0.05)
        sidecar.completions.put(("CompleteActivityTask", request))
        return b""

    async def echo(ctx: Any, value: Any) -> Any:
        return value

    limits = ConcurrencyOptions(maximum_concurrent_activity_work_items=10)
    with (
        FakeSidecar() as sidecar,
        TaskHubGrpcWorker(
            host_address=sidecar.address,
            log_handler=logging.NullHandler(),
            transport=transport,
            concurrency_options=limits,
        ) as worker,
    ):
        sidecar.handlers["CompleteActivityTask"] = complete
        worker.add_activity(echo)
        worker.start()
        for number in range(60):
            sidecar.send(activity_item("echo", "1", task_id=number, token=str(number)))
        tokens = [wire.string(sidecar.completion()[1], 5) for _ in range(60)]
        assert sorted(map(int, filter(None, tokens))) == list(range(60))
        assert sidecar.completions.empty()


NEVER_STOPPED = """
import logging, sys, threading, time
from durabletask.worker import TaskHubGrpcWorker

def begin():
    worker = TaskHubGrpcWorker(host_address=sys.argv[1], log_handler=logging.NullHandler(), transport="native")
    worker.add_activity(echo)
    worker.start()
    kept.append(worker)

def echo(ctx, value):
    return value

kept = []
# What a daemon thread has started does not keep the process alive.
thread = threading.Thread(target=begin, daemon=True)
thread.start()
thread.join()
print("ends", flush=True)
"""


def test_a_worker_that_was_never_stopped_lets_the_interpreter_end() -> None:
    with FakeSidecar() as sidecar:
        stopping = threading.Event()

        def feed() -> None:
            number = 0
            while not stopping.wait(0.001):
                number += 1
                sidecar.send(activity_item("echo", "1", task_id=number))

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            for _ in range(5):
                ran = subprocess.run(
                    [sys.executable, "-c", NEVER_STOPPED, sidecar.address],
                    env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                assert (ran.returncode, ran.stdout, ran.stderr) == (0, "ends\n", "")
        finally:
            stopping.set()
            feeder.join()
