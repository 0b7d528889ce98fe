"""A turn that keeps its thread is told of while it does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest

from durabletask._worker import long_turns, run
from durabletask._worker.long_turns import LongTurns
from durabletask.worker import TaskHubGrpcWorker

from support.fake_sidecar import FakeSidecar, orchestrator_item

SOON = 20.0


class Records(logging.Handler):
    """Puts the records of long turns into a queue."""

    name_of_logger = "test-long-turns"

    def __init__(self) -> None:
        super().__init__()
        self.queue: Queue[logging.LogRecord] = Queue()

    def emit(self, record: logging.LogRecord) -> None:
        if "is not over" in record.getMessage():
            self.queue.put(record)


@pytest.fixture
def records() -> Iterator[Records]:
    records, logger = Records(), logging.getLogger(Records.name_of_logger)
    logger.addHandler(records)
    yield records
    logger.removeHandler(records)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_turns, "LONG_TURN", 0.05)
    monkeypatch.setattr(run, "_LOOK_AT_TURNS", 0.02)


def hangs(entered: threading.Event, leave: threading.Event) -> None:
    entered.set()
    assert leave.wait(SOON)  # here it is


@pytest.fixture
def turn_that_hangs(records: Records) -> Iterator[LongTurns]:
    turns = LongTurns(logging.getLogger(records.name_of_logger))
    entered, leave = threading.Event(), threading.Event()

    def turn() -> None:
        turns.begin("abc")
        try:
            hangs(entered, leave)
        finally:
            turns.end()

    thread = threading.Thread(target=turn)
    thread.start()
    assert entered.wait(SOON)
    yield turns
    leave.set()
    thread.join(SOON)
    assert turns._turns == {}, "a turn that has ended is forgotten"


def test_a_turn_that_hangs_is_told_of_once_with_the_line_where_it_is(
    turn_that_hangs: LongTurns, records: Records
) -> None:
    deadline = time.monotonic() + SOON
    while records.queue.empty():
        assert time.monotonic() < deadline, "nothing was told"
        turn_that_hangs.look()
    turn_that_hangs.look()
    record = records.queue.get_nowait()
    assert records.queue.empty()
    assert record.levelno == logging.WARNING
    assert record.__dict__["instance_id"] == "abc"
    message = record.getMessage()
    assert message.startswith("abc: a turn has taken 0.")
    assert f"{__file__}:" in message
    assert message.endswith("in hangs: assert leave.wait(SOON)  # here it is")


def test_a_turn_that_ends_soon_is_not_told_of(records: Records) -> None:
    turns = LongTurns(logging.getLogger(records.name_of_logger))
    turns.begin("abc")
    turns.look()
    turns.end()
    turns.look()
    assert records.queue.empty()


@pytest.mark.parametrize("kind", ["function", "generator", "coroutine"])
def test_a_worker_tells_of_a_turn_that_does_not_end(records: Records, kind: str) -> None:
    entered, leave = threading.Event(), threading.Event()

    def function(ctx: Any, _: Any) -> None:
        hangs(entered, leave)

    def generator(ctx: Any, _: Any) -> Iterator[Any]:
        hangs(entered, leave)
        yield ctx.create_timer(1)

    async def coroutine(ctx: Any, _: Any) -> None:
        hangs(entered, leave)

    orchestrator = {"function": function, "generator": generator, "coroutine": coroutine}[kind]
    with FakeSidecar() as sidecar:
        worker = TaskHubGrpcWorker(
            host_address=sidecar.address,
            log_handler=records,
            keepalive_interval=0,
            stop_timeout=SOON,
        )
        worker.add_orchestrator(orchestrator)
        worker.start()
        try:
            sidecar.send(orchestrator_item(kind, "one"))
            assert entered.wait(SOON)
            record = records.queue.get(timeout=SOON)
        finally:
            leave.set()
            sidecar.completion()
            worker.stop()
    assert record.getMessage().startswith("one: a turn has taken ")
    assert "in hangs: assert leave.wait(SOON)" in record.getMessage()
    assert records.queue.empty(), "told of once"
