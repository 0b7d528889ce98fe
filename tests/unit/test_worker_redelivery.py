"""Activities that are handed out again, because their stream was lost or their lease ran out."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from durabletask._worker import calls
from durabletask.worker import ConcurrencyOptions, TaskHubGrpcWorker

from support import wire
from support.fake_sidecar import FakeSidecar, activity_item

SOON = 20.0


class Runs:
    """Counts how often an activity runs, and how many at once; each waits to be let go."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.leave = threading.Event()
        self.count = 0
        self.together = 0
        self.most = 0
        self.fails = False

    def _begin(self) -> None:
        self.count += 1
        self.together += 1
        self.most = max(self.most, self.together)
        self.began.release()

    def slow(self, ctx: Any, value: Any) -> str:
        self._begin()
        self.leave.wait(SOON)
        self.together -= 1
        if self.fails:
            raise ValueError("it failed")
        return f"run {self.count}"

    async def slow_async(self, ctx: Any, value: Any) -> str:
        self._begin()
        while not self.leave.is_set():
            await asyncio.sleep(0.005)
        self.together -= 1
        if self.fails:
            raise ValueError("it failed")
        return f"run {self.count}"


@pytest.fixture
def sidecar() -> Iterator[FakeSidecar]:
    with FakeSidecar() as sidecar:
        yield sidecar


@pytest.fixture
def runs() -> Runs:
    return Runs()


@pytest.fixture
def worker(sidecar: FakeSidecar, runs: Runs) -> Iterator[TaskHubGrpcWorker]:
    with TaskHubGrpcWorker(
        host_address=sidecar.address,
        log_handler=logging.NullHandler(),
        stop_timeout=SOON,
        concurrency_options=ConcurrencyOptions(4, 4, 4),
    ) as worker:
        worker.add_activity(runs.slow)
        worker.add_activity(runs.slow_async)
        worker.start()
        yield worker
        runs.leave.set()


def begin_and_lose_the_stream(sidecar: FakeSidecar, runs: Runs, name: str) -> None:
    sidecar.send(activity_item(name, "1", token="old"))
    assert runs.began.acquire(timeout=SOON), "the activity does not begin"
    sidecar.end_stream()
    sidecar.wait_for_streams(2)


def wait_for_log(caplog: pytest.LogCaptureFixture, text: str) -> None:
    deadline = time.monotonic() + SOON
    while text not in caplog.text:
        assert time.monotonic() < deadline, f"the log does not say {text!r}: {caplog.text}"
        time.sleep(0.005)


def calls_of(worker: TaskHubGrpcWorker) -> calls.ActivityCalls:
    run = worker._run
    assert run is not None
    return run._dispatcher._calls


KEPT = "it is kept for the next delivery"


@pytest.mark.parametrize("name", ["slow", "slow_async"])
def test_a_redelivery_of_what_still_runs_gets_its_result(
    sidecar: FakeSidecar,
    worker: TaskHubGrpcWorker,
    runs: Runs,
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    begin_and_lose_the_stream(sidecar, runs, name)
    sidecar.send(activity_item(name, "1", token="new"))
    wait_for_log(caplog, "which was handed out again")
    runs.leave.set()
    _, response = sidecar.completion()
    assert wire.string(response, 3, 1) == '"run 1"'
    assert wire.string(response, 5) == "new"
    worker.stop()
    assert sidecar.completions.empty(), "it is answered once"
    assert (runs.count, runs.most) == (1, 1)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("name", ["slow", "slow_async"])
def test_what_has_ended_without_a_stream_answers_the_redelivery(
    sidecar: FakeSidecar,
    worker: TaskHubGrpcWorker,
    runs: Runs,
    name: str,
    fails: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    runs.fails = fails
    begin_and_lose_the_stream(sidecar, runs, name)
    runs.leave.set()
    wait_for_log(caplog, KEPT)
    sidecar.send(activity_item(name, "1", token="new"))
    _, response = sidecar.completion()
    assert wire.string(response, 5) == "new"
    if fails:
        assert wire.string(response, 4, 2) == "it failed"
    else:
        assert wire.string(response, 3, 1) == '"run 1"'
    assert runs.count == 1
    deadline = time.monotonic() + SOON
    while calls_of(worker)._calls:
        assert time.monotonic() < deadline, "a result that was taken is kept"
        time.sleep(0.005)
    sidecar.send(activity_item(name, "1", token="later"))
    _, response = sidecar.completion()
    assert runs.count == 2, "a result is kept for one delivery"


def test_the_newest_of_many_deliveries_is_answered(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker, runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    begin_and_lose_the_stream(sidecar, runs, "slow")
    for count in (3, 4, 5):
        sidecar.send(activity_item("slow", "1", token=f"token {count}"))
        wait_for_log(caplog, "which was handed out again")
        caplog.clear()
        sidecar.end_stream()
        sidecar.wait_for_streams(count)
    sidecar.send(activity_item("slow", "1", token="last"))
    wait_for_log(caplog, "which was handed out again")
    runs.leave.set()
    _, response = sidecar.completion()
    assert wire.string(response, 5) == "last"
    assert runs.count == 1


@pytest.mark.parametrize(
    "other",
    [
        activity_item("slow", "1", token="new", task_id=2),
        activity_item("slow", "1", token="new", instance_id="other"),
        activity_item("slow", "2", token="new"),  # another generation, counting from 1 again
        activity_item("slow", "1", token="new", execution="other"),
        activity_item("slow", "1", token="new", execution=""),
    ],
    ids=["task", "instance", "input", "execution", "no execution"],
)
def test_another_activity_is_not_taken_for_a_redelivery(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker, runs: Runs, other: bytes
) -> None:
    begin_and_lose_the_stream(sidecar, runs, "slow")
    sidecar.send(other)
    assert runs.began.acquire(timeout=SOON), "the other activity does not begin"
    runs.leave.set()
    _, response = sidecar.completion()
    assert wire.string(response, 5) == "new"
    assert runs.count == 2


def test_results_are_kept_for_a_time_and_within_a_bound(
    sidecar: FakeSidecar,
    worker: TaskHubGrpcWorker,
    runs: Runs,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(calls, "_KEPT_BYTES", 50)
    for task_id in range(3):
        sidecar.send(activity_item("slow", "1", token="old", task_id=task_id))
        assert runs.began.acquire(timeout=SOON)
    sidecar.end_stream()
    sidecar.wait_for_streams(2)
    runs.leave.set()
    wait_for_log(caplog, "Dropped the result of activity 'slow#")
    held = calls_of(worker)
    monkeypatch.setattr(time, "monotonic", lambda real=time.monotonic: real() + 301)
    held.expire()
    assert not held._kept
    assert not held._calls
    assert held._kept_bytes == 0
