"""What starting, stopping and losing streams leaves behind in a process: nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from durabletask.worker import TaskHubGrpcWorker

from support.fake_sidecar import FakeSidecar, activity_item

SOON = 20.0

# File descriptors, threads of the system, threads of Python.
Counts = tuple[int, int, int]


def counted() -> Counts:
    return (
        len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - a name may be gone by the time it is looked at
        len(os.listdir("/proc/self/task")),  # noqa: PTH208
        threading.active_count(),
    )


def settled_at(expected: Counts) -> Counts:
    """What is counted once it is no more than expected, or after a while."""
    deadline = time.monotonic() + SOON
    while True:
        found = counted()
        if all(one <= other for one, other in zip(found, expected, strict=True)):
            return found
        if time.monotonic() > deadline:
            return found
        gc.collect()
        time.sleep(0.01)


def program(address: str, transport: Any) -> None:
    """Run by the test below in a process that has nothing else to count."""

    def work(ctx: Any, value: Any) -> Any:
        return value

    async def work_async(ctx: Any, value: Any) -> Any:
        return value

    worker = TaskHubGrpcWorker(
        host_address=address, log_handler=logging.NullHandler(), transport=transport
    )
    worker.add_activity(work)
    worker.add_activity(work_async)
    worker.start()
    worker.stop()
    time.sleep(0.5)  # gRPC's own threads end or stay; they are counted only afterwards
    before = counted()
    for _ in range(60):
        worker.start()
        worker.stop()
    after = settled_at(before)
    worker.start()
    for _ in range(30):
        run = worker._run
        assert run is not None
        connection = run._connection
        assert connection is not None
        connection.abandon("test")
        deadline = time.monotonic() + SOON
        while run._connection is connection or not worker.is_worker_ready():
            assert time.monotonic() < deadline, "the worker does not come back"
            time.sleep(0.001)
    worker.stop()
    lost = settled_at(before)
    print(f"before {before}, after 60 starts {after}, after 30 lost streams {lost}")  # noqa: T201
    assert all(one <= other for one, other in zip(after, before, strict=True))
    assert all(one <= other for one, other in zip(lost, before, strict=True))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts what Linux shows in /proc")
@pytest.mark.parametrize("transport", ["native", "grpcio"])
def test_sixty_starts_and_thirty_lost_streams_leave_nothing_behind(transport: str) -> None:
    with FakeSidecar() as sidecar:
        ran = subprocess.run(
            [sys.executable, __file__, sidecar.address, transport],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert ran.stdout.startswith("before ")


def test_an_activity_that_ignores_its_cancellation_leaves_no_thread() -> None:
    released, ended = threading.Event(), threading.Event()

    async def stubborn(ctx: Any, _: Any) -> str:
        began.set()
        while not released.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                released.set()
        ended.set()
        return "late"

    began = threading.Event()
    with FakeSidecar() as sidecar:
        worker = TaskHubGrpcWorker(
            host_address=sidecar.address, log_handler=logging.NullHandler(), stop_timeout=0.05
        )
        worker.add_activity(stubborn)
        worker.start()
        sidecar.send(activity_item("stubborn"))
        assert began.wait(SOON)
        worker.stop()
        assert ended.wait(SOON)
        deadline = time.monotonic() + SOON
        while left := [
            each.name for each in threading.enumerate() if each.name.startswith("durabletask-")
        ]:
            assert time.monotonic() < deadline, f"these threads still run after stop(): {left}"
            time.sleep(0.01)


if __name__ == "__main__":
    program(sys.argv[1], sys.argv[2])
