"""Turns that a worker leaves unanswered: it says so, works on, and asks for them again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from durabletask.worker import TaskHubGrpcWorker

from support import wire
from support.fake_sidecar import FakeSidecar, orchestrator_item


@pytest.fixture
def sidecar() -> Iterator[FakeSidecar]:
    with FakeSidecar() as sidecar:
        yield sidecar


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, MemoryError])
def test_a_turn_that_ends_the_process_is_left_and_comes_again(
    sidecar: FakeSidecar, end: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    ends = [True]
    ended = threading.Event()

    def ending(ctx: Any, _: Any) -> str:
        if ends and ends.pop():
            ended.set()
            raise end("now")
        return "done"

    def other(ctx: Any, _: Any) -> str:
        return "other"

    with (
        caplog.at_level(logging.ERROR, "durabletask.worker"),
        TaskHubGrpcWorker(host_address=sidecar.address, keepalive_interval=0.05) as worker,
    ):
        worker.add_orchestrator(ending)
        worker.add_orchestrator(other)
        worker.start()
        sidecar.send(orchestrator_item("ending", "first"))
        assert ended.wait(20)
        # The stream is given up, so that the sidecar sends again what was not answered.
        sidecar.wait_for_streams(2)
        assert sidecar.completions.empty(), "the turn was answered"
        sidecar.send(orchestrator_item("other", "second"))
        _, response = sidecar.completion()
        assert wire.string(response, 1) == "second", "the worker does not work on"
        sidecar.send(orchestrator_item("ending", "first"))
        _, response = sidecar.completion()
        assert wire.string(response, 1) == "first"
    assert f"was ended by {end.__name__}" in caplog.text
    assert "left unanswered" in caplog.text


def test_an_orchestrator_that_always_exits_does_not_keep_the_worker_reconnecting(
    sidecar: FakeSidecar,
) -> None:
    exits = threading.Semaphore(0)

    def exiting(ctx: Any, _: Any) -> None:
        exits.release()
        raise SystemExit(3)

    def other(ctx: Any, _: Any) -> str:
        return "other"

    with TaskHubGrpcWorker(host_address=sidecar.address, keepalive_interval=0.05) as worker:
        worker.add_orchestrator(exiting)
        worker.add_orchestrator(other)
        worker.start()
        sidecar.send(orchestrator_item("exiting"))
        sidecar.wait_for_streams(2)
        sidecar.send(orchestrator_item("exiting"))
        assert exits.acquire(timeout=20)
        assert exits.acquire(timeout=20)
        hellos = sidecar.hellos
        for number in range(3):
            sidecar.send(orchestrator_item("other", str(number)))
            sidecar.completion()
        while sidecar.hellos < hellos + 3:
            threading.Event().wait(0.01)
        assert sidecar.streams == 2, "another stream was given up right after the first"
