"""How workers end: on an application's event loop, beside its signal handlers, several at once, from within."""

from __future__ import annotations

import asyncio
import logging
import queue
import signal
import sys
import threading
import time
from typing import Any

import pytest

from durabletask import task
from durabletask.worker import ConcurrencyOptions, TaskHubGrpcWorker

from support import wire
from support.fake_sidecar import FakeSidecar, activity_item, orchestrator_item
from support.worker_program import SOON, program

signals = pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
SIGNUMS = pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])

ON_THE_LOOP = """
from durabletask._worker import foreground
foreground.PATIENCE = 0.3

def another(**settings):
    made = TaskHubGrpcWorker(host_address=sys.argv[1], stop_timeout=15, **settings)
    @made.activity
    async def slow_async(ctx, value):
        print("slow began", flush=True)
        await asyncio.sleep(value)
        return "slow ended"
    return made
"""


def ends_with_its_result(ending: str, signum: signal.Signals, workers: int = 1) -> tuple[int, str]:
    with program(ON_THE_LOOP + ending) as running:
        # `run` has taken the signals when its worker has a stream.
        running.sidecar.wait_for_streams(workers)
        running.sidecar.send(activity_item("slow_async", "0.7"))
        running.says("slow began")
        running.process.send_signal(signum)
        _, response = running.sidecar.completion()
        assert wire.string(response, 3, 1) == '"slow ended"', "it was not let come to its end"
        return running.ends()


@signals
def test_sigterm_lets_activities_on_the_program_s_own_loop_end() -> None:
    ending = (
        "async def main():\n"
        "    async with another(loop=asyncio.get_running_loop()):\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    code, errors = ends_with_its_result(ending, signal.SIGTERM)
    assert code == 0, errors
    assert "Traceback" not in errors


@signals
def test_sigterm_ends_a_program_whose_event_loop_is_kept_by_something() -> None:
    ending = (
        "from durabletask._worker import process\n"
        "process.PATIENCE = 0.3\n"
        "async def main():\n"
        "    worker.start()\n"
        "    threading.Event().wait()\n"
        "asyncio.run(main())"
    )
    with program(ending) as running:
        running.begin_slow(0.5)
        running.process.terminate()
        _, response = running.sidecar.completion()
        assert wire.string(response, 3, 1) == '"slow ended"'
        code, errors = running.ends()
    assert code == 0, errors


@signals
def test_an_activity_that_ends_with_its_loop_is_left_unanswered() -> None:
    ending = (
        "async def main():\n"
        "    made = another(loop=asyncio.get_running_loop())\n"
        "    made.start()\n"
        "    await asyncio.to_thread(sys.stdin.readline)\n"
        "    raise ValueError('gone')\n"
        "try:\n    asyncio.run(main())\n"
        "except ValueError:\n    print('the loop has ended', flush=True)\n"
    )
    with program(ON_THE_LOOP + ending) as running:
        running.sidecar.send(activity_item("slow_async", "60"))
        running.says("slow began")
        assert running.process.stdin is not None
        running.process.stdin.write("\n")
        running.process.stdin.flush()
        running.says("the loop has ended")
        # A worker for a loop that is gone does not keep the program.
        code, errors = running.ends()
        with pytest.raises(queue.Empty):
            running.sidecar.completions.get_nowait()
    assert code == 0, errors
    assert "was cancelled from outside" in errors


@pytest.mark.parametrize("how", ["what it awaits", "itself"])
def test_an_activity_that_cancels_by_itself_fails(how: str) -> None:
    async def cancels(ctx: Any, _: Any) -> None:
        if how == "itself":
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
            await asyncio.sleep(60)
        waits = asyncio.ensure_future(asyncio.sleep(60))
        asyncio.get_running_loop().call_soon(waits.cancel)
        await waits

    with FakeSidecar() as sidecar, TaskHubGrpcWorker(host_address=sidecar.address) as worker:
        worker.add_activity(cancels)
        worker.start()
        sidecar.send(activity_item("cancels"))
        _, response = sidecar.completion()
        assert wire.string(response, 4, 1) == "CancelledError"


@signals
@SIGNUMS
def test_one_signal_ends_all_workers_that_are_served_together(signum: signal.Signals) -> None:
    ending = (
        "async def main():\n"
        "    both = await asyncio.gather(another().serve(), another().serve())\n"
        "    print(both, flush=True)\n"
        "asyncio.run(main())"
    )
    code, errors = ends_with_its_result(ending, signum)
    assert code == 0, errors


@signals
@SIGNUMS
def test_a_signal_to_run_ends_the_workers_that_were_started_before(signum: signal.Signals) -> None:
    code, errors = ends_with_its_result(
        "another().start()\nsys.exit(another().run())", signum, workers=2
    )
    assert code == 0, errors
    assert "goes on until" not in errors


# How an application hears of signals, before and after it serves a worker.
APPLICATION = """
async def main():
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    def hear():
        print("the application has heard", flush=True)
        told.set()
    def take():
        for signum in (signal.SIGINT, signal.SIGTERM):
            {take}
    async def application():
        await told.wait()
    {before}
    serving = asyncio.create_task(another().serve())
    await asyncio.sleep(0)
    {after}
    await asyncio.gather(application(), serving)
asyncio.run(main())
"""
TAKES = {
    "signal.signal": "signal.signal(signum, lambda *_: loop.call_soon_threadsafe(hear))",
    "add_signal_handler": "loop.add_signal_handler(signum, hear)",
}


@signals
@SIGNUMS
@pytest.mark.parametrize("take", list(TAKES))
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_application_hears_of_the_signal_that_ends_its_worker(
    when: str, take: str, signum: signal.Signals
) -> None:
    parts = {"before": "pass", "after": "pass"}
    parts[when] = "take()"
    # After it was taken, there is to be a look at it.
    parts["after"] += "; await asyncio.sleep(1)"
    ending = APPLICATION.format(take=TAKES[take], **parts)
    with program(ON_THE_LOOP + ending + "\nprint('main has ended', flush=True)") as running:
        running.sidecar.send(activity_item("slow_async", "2"))
        running.says("slow began")
        time.sleep(1)
        running.process.send_signal(signum)
        running.says("the application has heard")
        _, response = running.sidecar.completion()
        assert wire.string(response, 3, 1) == '"slow ended"'
        running.says("main has ended")
        code, errors = running.ends()
    assert code == 0, errors


@signals
@SIGNUMS
def test_an_application_without_handlers_ends_with_the_worker_that_it_serves(
    signum: signal.Signals,
) -> None:
    ending = (
        "async def main():\n"
        "    serving = asyncio.create_task(another().serve())\n"
        "    try:\n        await asyncio.Event().wait()\n"
        "    finally:\n        print('cleaned up', flush=True)\n"
        "asyncio.run(main())"
    )
    with program(ON_THE_LOOP + ending) as running:
        running.sidecar.send(activity_item("slow_async", "0.5"))
        running.says("slow began")
        running.process.send_signal(signum)
        _, response = running.sidecar.completion()
        assert wire.string(response, 3, 1) == '"slow ended"'
        running.says("cleaned up")
        code, errors = running.ends()
    assert code == (0 if signum is signal.SIGTERM else -signal.SIGINT), errors


@signals
def test_a_second_signal_ends_an_application_with_a_handler_at_once() -> None:
    ending = APPLICATION.format(take=TAKES["add_signal_handler"], before="take()", after="pass")
    with program(ON_THE_LOOP + ending) as running:
        running.sidecar.send(activity_item("slow_async", "60"))
        running.says("slow began")
        running.process.terminate()
        running.says("the application has heard")
        began = time.monotonic()
        running.process.terminate()
        code, errors = running.ends()
        assert time.monotonic() - began < 5
    assert code == -signal.SIGTERM, errors


def test_stop_has_one_deadline_for_all_that_is_stuck() -> None:
    leave = threading.Event()
    entered = threading.Semaphore(0)

    def stuck(ctx: Any, _: Any) -> None:
        entered.release()
        leave.wait(SOON)

    with FakeSidecar() as sidecar:
        worker = TaskHubGrpcWorker(
            host_address=sidecar.address,
            log_handler=logging.NullHandler(),
            stop_timeout=0.2,
            concurrency_options=ConcurrencyOptions(maximum_thread_pool_workers=12),
        )
        worker.add_activity(stuck)
        worker.start()
        for number in range(12):
            sidecar.send(activity_item("stuck", task_id=number))
        for _ in range(12):
            assert entered.acquire(timeout=SOON)
        began = time.monotonic()
        worker.stop()
        took = time.monotonic() - began
        leave.set()
    assert took < 5, f"stop() took {took:.1f} s"


def test_a_worker_ends_while_the_executor_of_the_loop_is_full() -> None:
    leave = threading.Event()

    async def main(address: str) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(64):  # more than it has threads
            loop.run_in_executor(None, leave.wait, SOON)
        worker = TaskHubGrpcWorker(host_address=address)

        async def within() -> None:
            async with worker:
                pass

        await asyncio.wait_for(within(), SOON / 2)
        serving = asyncio.ensure_future(worker.serve())
        await asyncio.sleep(0.1)
        serving.cancel()
        await asyncio.wait([serving], timeout=SOON / 2)
        assert serving.cancelled(), "serve() waits for a thread of the executor"
        leave.set()

    with FakeSidecar() as sidecar:
        try:
            asyncio.run(main(sidecar.address))
        finally:
            leave.set()


@pytest.mark.parametrize("kind", ["activity", "async activity", "orchestrator"])
def test_what_the_worker_runs_may_stop_it_and_its_result_goes_out(kind: str) -> None:
    with FakeSidecar() as sidecar:
        worker = TaskHubGrpcWorker(host_address=sidecar.address, stop_timeout=SOON)
        took: list[float] = []

        def stops(ctx: Any, _: Any) -> str:
            began = time.monotonic()
            worker.stop()
            worker.stop()
            took.append(time.monotonic() - began)
            return "stopped"

        async def stops_async(ctx: Any, _: Any) -> str:
            return stops(ctx, None)

        def orchestrator(ctx: task.OrchestrationContext, _: Any) -> str:
            return stops(ctx, None)

        worker.add_activity(stops)
        worker.add_activity(stops_async)
        worker.add_orchestrator(orchestrator)
        worker.start()
        if kind == "orchestrator":
            sidecar.send(orchestrator_item("orchestrator"))
        else:
            sidecar.send(activity_item("stops" if kind == "activity" else "stops_async"))
        _, response = sidecar.completion()
        assert b'"stopped"' in response
        sidecar.wait_for_no_stream()
        deadline = time.monotonic() + SOON
        while worker._run is not None:
            assert time.monotonic() < deadline, "the worker has not stopped"
            time.sleep(0.01)
    assert took[0] < 5


def test_a_timeout_that_no_float_can_be_is_refused() -> None:
    worker = TaskHubGrpcWorker(host_address="localhost:1")
    with pytest.raises(
        ValueError, match=r"^timeout must be a number of seconds, at most 1\.79769e\+308"
    ):
        worker.start(timeout=10**400)


def test_a_first_start_after_the_program_s_end_is_refused() -> None:
    ending = (
        "import atexit\n"
        "def late():\n"
        "    try:\n        worker.start()\n"
        "    except RuntimeError as error:\n        print(error, flush=True)\n"
        "atexit.register(late)"
    )
    with program(ending) as running:
        output, errors = running.process.communicate(timeout=SOON)
    assert "The program has come to its end" in output, errors


def test_serve_lets_what_runs_end_though_it_is_cancelled_meanwhile() -> None:
    leave = threading.Event()
    entered = threading.Event()

    def slow(ctx: Any, _: Any) -> str:
        entered.set()
        leave.wait(SOON)
        return "ended"

    async def main(address: str) -> None:
        worker = TaskHubGrpcWorker(host_address=address, stop_timeout=SOON)
        worker.add_activity(slow)
        serving = asyncio.ensure_future(worker.serve())
        await asyncio.to_thread(entered.wait, SOON)
        for _ in range(3):
            serving.cancel()
            await asyncio.sleep(0.05)
            assert not serving.done(), "what runs has not ended"
        leave.set()
        await asyncio.wait([serving], timeout=SOON)
        assert serving.cancelled()

    with FakeSidecar() as sidecar:
        sidecar.send(activity_item("slow"))
        try:
            asyncio.run(main(sidecar.address))
        finally:
            leave.set()
        _, response = sidecar.completion()
        assert wire.string(response, 3, 1) == '"ended"'
