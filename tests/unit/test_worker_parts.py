"""The parts of the worker, each for itself."""

from __future__ import annotations

import asyncio
import builtins
import contextvars
import logging
import sys
import threading
import time
from typing import Any

import pytest

from durabletask import task
from durabletask._worker.activities import ActivityExecutor
from durabletask._worker.failures import failure_chain
from durabletask._worker.intake import Intake, Lane
from durabletask._worker.loop import ActivityLoop, CutOff
from durabletask._worker.pool import ThreadPool
from durabletask._worker.registry import ActivityNotRegisteredError, Registry

LOGGER = logging.getLogger("test")
SOON = 10.0


# Admission


def test_a_lane_runs_as_many_items_as_its_limit_and_parks_the_rest_in_order() -> None:
    started: list[str] = []
    intake = Intake(1_000_000)
    lane = intake.add_lane(2, started.append)
    for item in "abcd":
        assert intake.admit(lane, item, 1)
    assert started == ["a", "b"]
    intake.done(lane)
    intake.done(lane)
    assert started == ["a", "b", "c", "d"]
    assert intake.wait_idle(0) == 2


def test_thousands_of_items_that_end_in_their_start_are_gone_through() -> None:
    started: list[int] = []

    def start(item: int) -> None:
        started.append(item)
        if item:
            intake.done(lane)

    intake = Intake(1_000_000_000)
    lane = intake.add_lane(1, start)
    for item in range(20_000):
        intake.admit(lane, item, 1)
    intake.done(lane)
    assert started == list(range(20_000))
    assert intake.wait_idle(0) == 0
    assert intake.admit(lane, 1, 1), "the lane is free again"
    assert started[-1] == 1


def test_a_full_lane_does_not_hold_back_the_other() -> None:
    started: list[str] = []
    intake = Intake(1_000_000)
    full, other = intake.add_lane(1, started.append), intake.add_lane(1, started.append)
    intake.admit(full, "runs", 1)
    intake.admit(full, "waits", 1)
    intake.admit(other, "other", 1)
    assert started == ["runs", "other"]


def test_admission_blocks_when_too_much_is_parked_and_goes_on_when_it_is_less() -> None:
    started: list[int] = []
    intake = Intake(3_000)
    lane = intake.add_lane(1, started.append)
    admitted = threading.Semaphore(0)

    def admit_four() -> None:
        for number in range(4):
            intake.admit(lane, number, 1_000)
            admitted.release()

    thread = threading.Thread(target=admit_four, daemon=True)
    thread.start()
    for _ in range(2):
        assert admitted.acquire(timeout=SOON)
    assert not admitted.acquire(timeout=0.05), "the third item is parked beyond the limit"
    intake.done(lane)
    assert admitted.acquire(timeout=SOON)
    intake.done(lane)
    thread.join(SOON)
    assert not thread.is_alive()


def test_an_item_larger_than_the_limit_is_admitted_alone() -> None:
    intake = Intake(10)
    lane: Lane[int] = intake.add_lane(1, lambda _: None)
    assert intake.admit(lane, 1, 5_000)
    assert intake.admit(lane, 2, 5_000)


def test_closing_lets_a_blocked_reader_go_and_drops_what_is_parked() -> None:
    intake = Intake(10)
    lane: Lane[int] = intake.add_lane(1, lambda _: None)
    intake.admit(lane, 1, 1)
    intake.admit(lane, 2, 1)
    outcome: list[bool] = []
    thread = threading.Thread(target=lambda: outcome.append(intake.admit(lane, 3, 1)))
    thread.start()
    intake.close()
    thread.join(SOON)
    assert outcome == [False]
    intake.done(lane)
    assert intake.wait_idle(0) == 0


# Threads


def test_a_pool_starts_threads_as_needed_and_no_more_than_its_size() -> None:
    pool = ThreadPool("test-pool", 2, LOGGER)
    names: set[str] = set()
    barrier, ran = threading.Barrier(3), threading.Semaphore(0)

    def job() -> None:
        names.add(threading.current_thread().name)
        barrier.wait(SOON)
        ran.release()

    pool.submit(job)
    pool.submit(job)
    barrier.wait(SOON)
    for _ in range(2):
        assert ran.acquire(timeout=SOON)
    assert names == {"test-pool-1", "test-pool-2"}
    pool.close()
    assert pool.join(SOON)


def test_all_threads_of_a_pool_may_be_started_at_once_and_none_after_its_end() -> None:
    pool = ThreadPool("test-all", 3, LOGGER)
    pool.start_all()
    assert len(pool._threads) == 3
    pool.close()
    assert pool.join(SOON)
    late = ThreadPool("test-late", 3, LOGGER)
    late.close()
    late.submit(lambda: None)
    assert not late._threads


def test_a_thread_that_is_idle_is_used_again() -> None:
    pool = ThreadPool("test-idle", 8, LOGGER)
    names: list[str] = []
    ran = threading.Semaphore(0)

    def job() -> None:
        names.append(threading.current_thread().name)
        ran.release()

    for _ in range(20):
        pool.submit(job)
        assert ran.acquire(timeout=SOON)
        # It has run the job a moment before it is idle again.
        deadline = time.monotonic() + SOON
        while not pool._idle and time.monotonic() < deadline:
            time.sleep(0.001)
    assert set(names) == {"test-idle-1"}
    pool.close()
    assert pool.join(SOON)


def test_a_job_that_raises_costs_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    pool = ThreadPool("test-raising", 1, LOGGER)
    ran = threading.Event()

    def job() -> None:
        raise SystemExit(3)

    pool.submit(job)
    pool.submit(ran.set)
    assert ran.wait(SOON)
    pool.close()
    assert pool.join(SOON)
    assert "failed in a way that nobody expected" in caplog.text


def test_an_idle_thread_is_used_again() -> None:
    pool = ThreadPool("test-idle", 8, LOGGER)
    for _ in range(50):
        ran = threading.Event()
        pool.submit(ran.set)
        assert ran.wait(SOON)
    # A job may find the thread of the one before it still on its way back to being idle.
    assert len(pool._threads) < 8
    pool.close()
    assert pool.join(SOON)


# Coroutines


def test_the_loop_runs_many_coroutines_on_one_thread_at_once() -> None:
    loop = ActivityLoop("test-loop")
    together = 50
    arrived, all_here = 0, asyncio.Event()
    threads: set[str] = set()
    ended = threading.Semaphore(0)

    async def meet() -> str:
        nonlocal arrived
        arrived += 1
        threads.add(threading.current_thread().name)
        if arrived == together:
            all_here.set()
        await all_here.wait()
        return "met"

    def note(result: Any, error: BaseException | None) -> None:
        assert (result, error) == ("met", None)
        ended.release()

    for _ in range(together):
        loop.run(meet, note, contextvars.copy_context())
    for _ in range(together):
        assert ended.acquire(timeout=SOON)
    assert threads == {"test-loop"}
    assert loop.close(SOON)


def test_closing_the_loop_cancels_what_runs() -> None:
    loop = ActivityLoop("test-cancel")
    began = threading.Event()
    errors: list[BaseException | None] = []

    async def forever() -> None:
        began.set()
        await asyncio.Event().wait()

    loop.run(forever, lambda _, error: errors.append(error), contextvars.copy_context())
    assert began.wait(SOON)
    assert loop.close(SOON)
    assert [type(error) for error in errors] == [CutOff]


def test_a_loop_that_was_never_used_is_closed_at_once() -> None:
    assert ActivityLoop("test-unused").close(0)


# Activities


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def executor(registry: Registry) -> ActivityExecutor:
    return ActivityExecutor(registry, LOGGER)


def test_an_activity_gets_its_context_and_input(
    registry: Registry, executor: ActivityExecutor
) -> None:
    def echo(ctx: task.ActivityContext, value: Any) -> Any:
        return [value, ctx.orchestration_id, ctx.task_id, ctx.task_execution_id]

    registry.add_activity(echo)
    assert executor.execute("id", "echo", 4, '"Zürich"', "e") == '["Z\\u00fcrich", "id", 4, "e"]'
    assert executor.execute("id", "echo", 4, None) == '[null, "id", 4, ""]'
    assert executor.execute("id", "echo", 4, "") == '[null, "id", 4, ""]'


def test_an_activity_that_returns_none_has_no_result(
    registry: Registry, executor: ActivityExecutor
) -> None:
    registry.add_named_activity("none", lambda ctx, _: None)
    registry.add_named_activity("zero", lambda ctx, _: 0)
    assert executor.execute("id", "none", 1, None) is None
    assert executor.execute("id", "zero", 1, None) == "0"


def test_an_unregistered_activity_is_named(executor: ActivityExecutor) -> None:
    message = r"^Activity function named 'Bogus' was not registered!$"
    with pytest.raises(ActivityNotRegisteredError, match=message):
        executor.execute("id", "Bogus", 1, None)


def test_payloads_that_are_no_json_name_the_activity(
    registry: Registry, executor: ActivityExecutor
) -> None:
    registry.add_named_activity("act", lambda ctx, _: object())
    with pytest.raises(ValueError, match=r"The input of activity 'act' is no JSON: .*line 1"):
        executor.execute("id", "act", 1, "{")
    with pytest.raises(TypeError, match="The result of activity 'act' cannot be written as JSON"):
        executor.execute("id", "act", 1, None)


def test_the_activity_context_class_is_looked_up_at_each_call(
    registry: Registry, executor: ActivityExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(task.ActivityContext):
        pass

    registry.add_named_activity("kind", lambda ctx, _: type(ctx).__name__)
    monkeypatch.setattr(task, "ActivityContext", Mine)
    assert executor.execute("id", "kind", 1, None) == '"Mine"'


# Failures


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def test_a_failure_has_its_cause_and_the_user_s_stack() -> None:
    cause = raised(KeyError("inner"))
    outer, inner = failure_chain(raised(ValueError("outer"), cause))
    assert (outer[0], outer[1], outer[3]) == ("ValueError", "outer", False)
    assert "in raised" in (outer[2] or "")
    assert (inner[0], inner[1]) == ("KeyError", "'inner'")


def test_non_retryable_errors_are_marked() -> None:
    class Fatal(task.NonRetryableError):
        pass

    assert failure_chain(Fatal("stop"))[0][3]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no exception groups")
def test_what_is_in_a_group_is_told() -> None:
    group = vars(builtins)["ExceptionGroup"](
        "two went wrong", [raised(ValueError("first")), raised(KeyError("second"))]
    )
    chain = failure_chain(raised(group))
    assert [(error_type, message) for error_type, message, _, _ in chain] == [
        ("ExceptionGroup", "two went wrong (2 sub-exceptions)"),
        ("ValueError", "first"),
    ]
    trace = chain[0][2] or ""
    assert "exception 1 of 2 in it:\nTraceback" in trace
    assert "KeyError: 'second'" in trace
    assert __file__ in trace


def test_a_chain_of_causes_ends() -> None:
    error = ValueError("round")
    error.__cause__ = ValueError("and round")
    error.__cause__.__cause__ = error
    assert len(failure_chain(error)) == 2
    for _ in range(50):
        error, error.__cause__ = ValueError("more"), error
    assert len(failure_chain(error)) <= 16


def test_an_exception_without_usable_text_is_reported_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert failure_chain(Mute())[0][1] == "<str() of the exception raised RuntimeError>"
    assert failure_chain(ValueError("lone \ud800"))[0][1] == "lone ?"


def test_an_exception_that_refuses_to_tell_of_itself_is_reported_all_the_same() -> None:
    class Exiting(Exception):
        def __str__(self) -> str:
            raise SystemExit(3)

    class Closed(Exception):
        derive = None

        @property
        def exceptions(self) -> Any:
            raise RuntimeError("nothing to see")

        @property
        def __cause__(self) -> Any:  # type: ignore[override]
            raise RuntimeError("no reason")

    class Unnamed(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise RuntimeError("no name")

    class Nameless(Exception, metaclass=Unnamed):
        pass

    assert failure_chain(Exiting())[0][1] == "<str() of the exception raised SystemExit>"
    assert [link[:2] for link in failure_chain(Closed("text"))] == [("Closed", "text")]
    assert [link[:2] for link in failure_chain(Nameless("text"))] == [("Exception", "text")]


def test_an_activity_that_is_exchanged_for_an_asynchronous_one_is_noticed() -> None:
    registry = Registry()
    activities = ActivityExecutor(registry, LOGGER)

    def blocking(ctx: task.ActivityContext, _: Any) -> None:
        raise NotImplementedError

    async def awaited(ctx: task.ActivityContext, _: Any) -> None:
        raise NotImplementedError

    assert not activities.is_async("greet"), "there is none yet"
    registry.add_named_activity("greet", blocking)
    assert not activities.is_async("greet")
    registry.activities["greet"] = awaited
    assert activities.is_async("greet")
