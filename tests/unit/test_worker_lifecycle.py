"""Starting, stopping and starting again; how much runs at once."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from durabletask.worker import ConcurrencyOptions, TaskHubGrpcWorker

from support import wire
from support.fake_sidecar import FakeSidecar, activity_item, orchestrator_item

SOON = 20.0


def echo(ctx: Any, value: Any) -> Any:
    return value


@pytest.fixture
def sidecar() -> Iterator[FakeSidecar]:
    with FakeSidecar() as sidecar:
        yield sidecar


@pytest.fixture
def worker(sidecar: FakeSidecar) -> Iterator[TaskHubGrpcWorker]:
    with TaskHubGrpcWorker(
        host_address=sidecar.address, log_handler=logging.NullHandler(), stop_timeout=SOON
    ) as worker:
        worker.add_activity(echo)
        yield worker


def assert_no_threads_are_left() -> None:
    """Threads that a test before this one let go may need a moment."""
    deadline = time.monotonic() + SOON
    while True:
        left = {each.name for each in threading.enumerate() if each.name.startswith("durabletask-")}
        if not left:
            return
        assert time.monotonic() < deadline, f"these threads still run after stop(): {left}"
        time.sleep(0.01)


def test_nothing_happens_at_import() -> None:
    program = (
        "import threading, logging, durabletask.aio, durabletask.client, durabletask.worker\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "for name in ('', '-worker', '-client', '.worker', '.client'):\n"
        "    assert not logging.getLogger('durabletask' + name).handlers, name\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_worker_is_ready_while_it_has_a_stream(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker
) -> None:
    assert not worker.is_worker_ready()
    worker.start()
    assert worker.is_worker_ready()
    worker.stop()
    assert not worker.is_worker_ready()


def test_a_running_worker_takes_no_registrations_and_no_second_start(
    worker: TaskHubGrpcWorker,
) -> None:
    def late(ctx: Any, _: Any) -> None: ...

    worker.start()
    message = r"^Orchestrators cannot be added while the worker is running\.$"
    with pytest.raises(RuntimeError, match=message):
        worker.add_orchestrator(late)
    message = r"^Activities cannot be added while the worker is running\.$"
    with pytest.raises(RuntimeError, match=message):
        worker.add_activity(late)
    with pytest.raises(RuntimeError, match=r"^The worker is already running\.$"):
        worker.start()
    worker.stop()
    assert worker.add_orchestrator(late) == "late"
    assert worker.add_activity(late) == "late"


def test_a_stopped_worker_starts_again_and_leaves_no_threads_behind(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker
) -> None:
    worker.stop()
    for number in range(3):
        worker.start()
        sidecar.send(activity_item("echo", str(number)))
        _, response = sidecar.completion()
        assert wire.string(response, 3, 1) == str(number)
        worker.stop()
        worker.stop()
        sidecar.wait_for_no_stream()
    assert_no_threads_are_left()


def test_a_start_without_a_sidecar_fails_in_time_and_leaves_nothing_running() -> None:
    with FakeSidecar() as gone:
        address = gone.address
    worker = TaskHubGrpcWorker(host_address=address, log_handler=logging.NullHandler())
    message = "Failed to establish work item stream connection within 0.3 seconds.*UNAVAILABLE"
    with pytest.raises(RuntimeError, match=message):
        worker.start(timeout=0.3)
    assert_no_threads_are_left()
    worker.add_activity(echo)


def test_stop_lets_what_runs_report_its_result(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(ctx: Any, value: Any) -> Any:
        entered.set()
        leave.wait(SOON)
        return value

    async def slow_async(ctx: Any, value: Any) -> Any:
        while not leave.is_set():
            await asyncio.sleep(0.01)
        return value

    worker.add_activity(slow)
    worker.add_activity(slow_async)
    worker.start()
    sidecar.send(activity_item("slow_async", "1"))
    sidecar.send(activity_item("slow", "2"))
    assert entered.wait(SOON)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    sidecar.send(activity_item("echo", "3"))  # comes too late
    leave.set()
    stopping.join(SOON)
    assert not stopping.is_alive()
    found = {wire.string(sidecar.completion()[1], 3, 1) for _ in range(2)}
    assert found == {"1", "2"}
    assert sidecar.completions.empty()


def test_stop_waits_no_longer_than_its_timeout(
    sidecar: FakeSidecar, caplog: pytest.LogCaptureFixture
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def stuck(ctx: Any, value: Any) -> Any:
        entered.set()
        leave.wait(SOON)
        return value

    worker = TaskHubGrpcWorker(
        host_address=sidecar.address, log_handler=logging.NullHandler(), stop_timeout=0.2
    )
    worker.add_activity(stuck)
    worker.start()
    sidecar.send(activity_item("stuck", "1"))
    assert entered.wait(SOON)
    began = time.monotonic()
    worker.stop()
    assert time.monotonic() - began < 10
    assert "Stopped with 1 work items still running after 0.2 seconds" in caplog.text
    leave.set()


def test_an_activity_may_stop_the_worker(sidecar: FakeSidecar) -> None:
    worker = TaskHubGrpcWorker(
        host_address=sidecar.address, log_handler=logging.NullHandler(), stop_timeout=0.1
    )
    stopped = threading.Event()

    def stop(ctx: Any, _: Any) -> None:
        worker.stop()
        stopped.set()

    worker.add_activity(stop)
    worker.start()
    sidecar.send(activity_item("stop"))
    assert stopped.wait(SOON)
    assert not worker.is_worker_ready()


@pytest.mark.parametrize("kind", ["threads", "coroutines"])
def test_activities_run_within_their_limit(sidecar: FakeSidecar, kind: str) -> None:
    limit, together, most = 3, 0, 0
    lock, leave = threading.Lock(), threading.Event()
    full = threading.Semaphore(0)

    def count(ctx: Any, _: Any) -> None:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        full.release()
        leave.wait(SOON)
        with lock:
            together -= 1

    async def count_async(ctx: Any, _: Any) -> None:
        await asyncio.to_thread(count, ctx, None)

    activity: Any = count if kind == "threads" else count_async
    with TaskHubGrpcWorker(
        host_address=sidecar.address,
        log_handler=logging.NullHandler(),
        concurrency_options=ConcurrencyOptions(limit, 1, 16),
    ) as worker:
        worker.add_activity(activity)
        worker.start()
        for number in range(8):
            sidecar.send(activity_item(activity.__name__, task_id=number))
        for _ in range(limit):
            assert full.acquire(timeout=SOON)
        assert not full.acquire(timeout=0.1), "an activity began beyond the limit"
        leave.set()
        for _ in range(8):
            sidecar.completion()
    assert most == limit


def test_an_asynchronous_activity_does_not_wait_behind_others(
    sidecar: FakeSidecar,
) -> None:
    leave = threading.Event()

    def sleep(ctx: Any, _: Any) -> None:
        leave.wait(SOON)

    async def quick(ctx: Any, value: Any) -> Any:
        return value

    with TaskHubGrpcWorker(
        host_address=sidecar.address,
        log_handler=logging.NullHandler(),
        concurrency_options=ConcurrencyOptions(2, 1, 1),
    ) as worker:
        worker.add_activity(sleep)
        worker.add_activity(quick)
        worker.start()
        for number in range(20):
            sidecar.send(activity_item("sleep", task_id=number))
        sidecar.send(activity_item("quick", "7", task_id=99))
        _, response = sidecar.completion()
        assert wire.string(response, 3, 1) == "7"
        leave.set()
        for _ in range(20):
            sidecar.completion()


def test_activities_that_sleep_do_not_hold_up_orchestrations(sidecar: FakeSidecar) -> None:
    leave = threading.Event()

    def sleep(ctx: Any, _: Any) -> None:
        leave.wait(SOON)

    def orchestrate(ctx: Any, _: Any) -> str:
        return "done"

    with TaskHubGrpcWorker(
        host_address=sidecar.address,
        log_handler=logging.NullHandler(),
        concurrency_options=ConcurrencyOptions(1, 1, 1),
    ) as worker:
        worker.add_activity(sleep)
        worker.add_orchestrator(orchestrate)
        worker.start()
        for number in range(3):
            sidecar.send(activity_item("sleep", task_id=number))
        sidecar.send(orchestrator_item("orchestrate"))
        method, _ = sidecar.completion()
        leave.set()
        assert method == "CompleteOrchestratorTask"
        for _ in range(3):
            assert sidecar.completion()[0] == "CompleteActivityTask"


def test_coroutine_activities_run_many_at_once_on_one_thread(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker
) -> None:
    together = 100
    arrived = 0
    everybody: asyncio.Event | None = None

    async def meet(ctx: Any, _: Any) -> str:
        nonlocal arrived, everybody
        everybody = everybody or asyncio.Event()
        arrived += 1
        if arrived == together:
            everybody.set()
        await everybody.wait()
        return threading.current_thread().name

    worker.add_activity(meet)
    worker.start()
    for number in range(together):
        sidecar.send(activity_item("meet", task_id=number))
    found = {wire.string(sidecar.completion()[1], 3, 1) for _ in range(together)}
    assert found == {'"durabletask-activity-loop"'}


def test_a_function_that_returns_a_coroutine_is_awaited(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker
) -> None:
    async def inner() -> str:
        await asyncio.sleep(0)
        return "awaited"

    def wrapped(ctx: Any, _: Any) -> Any:
        return inner()

    worker.add_activity(wrapped)
    worker.start()
    sidecar.send(activity_item("wrapped"))
    assert wire.string(sidecar.completion()[1], 3, 1) == '"awaited"'


@pytest.mark.parametrize("name", ["fail", "fail_async", "leave", "leave_async", "unwritable"])
def test_whatever_an_activity_raises_is_reported(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker, name: str
) -> None:
    def fail(ctx: Any, _: Any) -> None:
        raise ValueError("no") from KeyError("why")

    async def fail_async(ctx: Any, _: Any) -> None:
        raise ValueError("no") from KeyError("why")

    def leave(ctx: Any, _: Any) -> None:
        sys.exit("out")

    async def leave_async(ctx: Any, _: Any) -> None:
        sys.exit("out")

    async def unwritable(ctx: Any, _: Any) -> object:
        return object()

    for activity in (fail, fail_async, leave, leave_async, unwritable):
        worker.add_activity(activity)
    worker.start()
    sidecar.send(activity_item(name))
    _, response = sidecar.completion()
    kind, message = wire.string(response, 4, 1), wire.string(response, 4, 2)
    stack = wire.string(response, 4, 3, 1) or ""
    assert wire.get(response, 3) is None
    if name.startswith("fail"):
        assert (kind, message) == ("ValueError", "no")
        assert wire.string(response, 4, 4, 1) == "KeyError"
        assert stack.startswith(f'  File "{__file__}"'), "the stack begins with the user's frame"
        assert 'raise ValueError("no")' in stack
    elif name.startswith("leave"):
        assert (kind, message) == ("SystemExit", "out")
    else:
        assert kind == "TypeError"
        assert message is not None
        assert "The result of activity 'unwritable' cannot be written as JSON" in message
    sidecar.send(activity_item("echo", "1"))
    assert wire.string(sidecar.completion()[1], 3, 1) == "1"


def test_an_unregistered_activity_fails_by_name(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker
) -> None:
    worker.start()
    sidecar.send(activity_item("Bogus"))
    _, response = sidecar.completion()
    assert wire.string(response, 4, 1) == "ActivityNotRegisteredError"
    assert wire.string(response, 4, 2) == "Activity function named 'Bogus' was not registered!"


def test_a_worker_may_be_stopped_while_it_starts() -> None:
    with FakeSidecar() as gone:
        address = gone.address
    worker = TaskHubGrpcWorker(host_address=address, log_handler=logging.NullHandler())
    threading.Timer(0.2, worker.stop).start()
    with pytest.raises(RuntimeError, match=r"^The worker was stopped while it was starting\.$"):
        worker.start(timeout=SOON)
    assert_no_threads_are_left()


def test_a_worker_may_be_stopped_by_several_threads_at_once(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker
) -> None:
    worker.start()
    stopping = [threading.Thread(target=worker.stop) for _ in range(4)]
    for thread in stopping:
        thread.start()
    for thread in stopping:
        thread.join(SOON)
        assert not thread.is_alive()
    assert_no_threads_are_left()


def test_a_turn_that_breaks_the_engine_is_answered(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def expire_idle(self) -> None: ...

        def clear_replay_cache(self) -> None: ...

        def counters(self) -> dict[str, int]:
            return {}

        def replay_cache_counters(self) -> dict[str, int]:
            return {}

        def tell_of_attempt(self, *arguments: Any) -> None:
            return None

        def execute_work_item(self, item: bytes, fetch_history: Any) -> bytes:
            raise BaseException("panic")  # as PyO3 raises panics

    monkeypatch.setattr("durabletask._core.Executor", Broken)
    worker.start()
    sidecar.send(orchestrator_item("any"))
    _, response = sidecar.completion()
    assert wire.number(response, 2, 1) == -1
    assert wire.string(response, 2, 6, 6, 2) == "panic"
