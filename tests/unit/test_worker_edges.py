"""What programs do with workers beside the main road: odd arguments, interruptions, broken loggers, their own loop."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import itertools
import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from durabletask._transport import backoff_delays
from durabletask._worker import run as worker_run
from durabletask._worker.options import usable_processors
from durabletask.aio import AsyncTaskHubGrpcClient
from durabletask.sidecar import Sidecar
from durabletask.worker import ConcurrencyOptions, ReplayCacheOptions, TaskHubGrpcWorker

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
def make_worker(sidecar: FakeSidecar) -> Iterator[Callable[..., TaskHubGrpcWorker]]:
    made: list[TaskHubGrpcWorker] = []

    def make(**options: Any) -> TaskHubGrpcWorker:
        options.setdefault("log_handler", logging.NullHandler())
        worker = TaskHubGrpcWorker(host_address=sidecar.address, **options)
        worker.add_activity(echo)
        made.append(worker)
        return worker

    yield make
    for worker in made:
        worker.stop()


MakeWorker = Callable[..., TaskHubGrpcWorker]


def threads_of_workers() -> set[str]:
    return {each.name for each in threading.enumerate() if each.name.startswith("durabletask-")}


def wait_until(reached: Callable[[], bool], message: str) -> None:
    deadline = time.monotonic() + SOON
    while not reached():
        assert time.monotonic() < deadline, message
        time.sleep(0.005)


def assert_no_threads_are_left() -> None:
    wait_until(lambda: not threads_of_workers(), f"left: {threads_of_workers()}")


# Starting


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        ("5", TypeError),
        (None, TypeError),
        (True, TypeError),
        (math.nan, ValueError),
        (-1, ValueError),
    ],
)
def test_a_timeout_that_is_none_starts_nothing(
    make_worker: MakeWorker, timeout: Any, error: type[Exception]
) -> None:
    worker = make_worker()
    with pytest.raises(error, match="timeout must be a number of seconds"):
        worker.start(timeout)
    assert not threads_of_workers()
    worker.start()


def test_start_may_wait_without_end(make_worker: MakeWorker) -> None:
    worker = make_worker()
    worker.start(math.inf)
    assert worker.is_worker_ready()


def test_an_interrupted_start_leaves_nothing_running(
    make_worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Any, timeout: float) -> bool:
        raise KeyboardInterrupt

    worker = make_worker()
    with monkeypatch.context() as patch:
        patch.setattr(worker_run.WorkerRun, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            worker.start()
    assert_no_threads_are_left()
    worker.start()


@pytest.mark.parametrize("name", ["stop_timeout", "keepalive_interval"])
def test_seconds_that_are_no_number_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        TaskHubGrpcWorker(**{name: math.nan})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=name):
        TaskHubGrpcWorker(**{name: "5"})  # type: ignore[arg-type]


def test_stop_may_wait_without_end(make_worker: MakeWorker, sidecar: FakeSidecar) -> None:
    worker = make_worker(stop_timeout=math.inf)
    worker.start()
    sidecar.send(activity_item("echo", "1"))
    sidecar.completion()
    worker.stop()


# Registering


def test_decorators_give_the_function_back(make_worker: MakeWorker) -> None:
    worker = make_worker()

    @worker.orchestrator
    def one(ctx: Any, _: Any) -> int:
        return 1

    @worker.orchestrator(name="two", version="v1")
    def other(ctx: Any, _: Any) -> int:
        return 2

    @worker.activity
    async def act(ctx: Any, _: Any) -> int:
        return 3

    @worker.activity()
    def plain(ctx: Any, _: Any) -> int:
        return 4

    @worker.activity(name="called")
    def named(ctx: Any, _: Any) -> int:
        return 5

    assert one(None, None) == 1
    assert other(None, None) == 2
    assert named(None, None) == 5
    registry = worker._registry
    assert registry.orchestrators == {"one": one}
    assert registry.versioned_orchestrators == {"two": {"v1": other}}
    assert registry.activities == {"echo": echo, "act": act, "plain": plain, "called": named}
    with pytest.raises(TypeError, match=r"found 'name'"):
        worker.activity("name")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="already exists"):
        worker.activity(name="plain")(echo)


def test_names_and_versions_are_given_by_arguments(make_worker: MakeWorker) -> None:
    worker = make_worker()
    assert worker.add_orchestrator(echo, name="mine") == "mine"
    assert worker.add_orchestrator(echo, version="v1") == "echo"
    assert worker.add_orchestrator(echo, version="v2", is_latest=True) == "echo"
    assert worker._registry.get_orchestrator("echo") == (echo, "v2")
    assert worker._registry.get_orchestrator("echo", "v1") == (echo, "v1")
    assert worker.add_activity(lambda ctx, _: 1, name="by name") == "by name"
    with pytest.raises(ValueError, match="is_latest says which version"):
        worker.add_orchestrator(echo, name="none", is_latest=True)
    with pytest.raises(ValueError, match="non-empty"):
        worker.add_activity(echo, name="")


# While it runs


def test_decimal_contexts_that_activities_change_are_their_own(
    make_worker: MakeWorker, sidecar: FakeSidecar
) -> None:
    def changes() -> list[int]:
        before = decimal.getcontext().prec
        decimal.getcontext().prec = 5
        return [before, decimal.getcontext().prec]

    def sync(ctx: Any, _: Any) -> list[int]:
        return changes()

    async def awaited(ctx: Any, _: Any) -> list[int]:
        await asyncio.sleep(0.001)
        return changes()

    def returned(ctx: Any, _: Any) -> Any:
        return awaited(ctx, _)

    worker = make_worker()
    for activity in (sync, awaited, returned):
        worker.add_activity(activity)
    with decimal.localcontext() as local:
        local.prec = 9  # the very object that a copy of the context holds, too
        worker.start()
        for number in range(10):
            for name in ("sync", "awaited", "returned"):
                sidecar.send(activity_item(name, "0", task_id=number))
        found = {wire.string(sidecar.completion()[1], 3, 1) for _ in range(30)}
        assert found == {"[9, 5]"}, "an activity found what another had set"
        assert decimal.getcontext().prec == 9, "an activity changed the main thread's"


class Untold(Exception):
    """Raises whenever it is asked for anything."""

    derive = None

    def __str__(self) -> str:
        raise SystemExit(3)

    @property
    def exceptions(self) -> Any:
        raise RuntimeError("nothing to see")

    @property
    def __cause__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no reason")


def test_activities_that_fail_in_unspeakable_ways_are_answered(
    make_worker: MakeWorker, sidecar: FakeSidecar
) -> None:
    def sync(ctx: Any, _: Any) -> None:
        raise Untold

    async def awaited(ctx: Any, _: Any) -> None:
        raise Untold

    options = ConcurrencyOptions(
        maximum_concurrent_activity_work_items=1, maximum_thread_pool_workers=1
    )
    worker = make_worker(concurrency_options=options)
    worker.add_activity(sync)
    worker.add_activity(awaited)
    worker.start()
    for number in range(3):
        for name in ("sync", "awaited"):
            sidecar.send(activity_item(name, "0", task_id=number))
    for _ in range(6):  # each frees its place for the next
        assert b"Untold" in sidecar.completion()[1]


def test_activities_see_the_context_of_start_and_nobody_else_s(
    make_worker: MakeWorker, sidecar: FakeSidecar
) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    def sync(ctx: Any, value: str) -> list[str]:
        before = variable.get()
        variable.set(value)
        return [before, variable.get()]

    async def awaited(ctx: Any, value: str) -> list[str]:
        before = variable.get()
        variable.set(value)
        await asyncio.sleep(0.01)
        return [before, variable.get()]

    def returned(ctx: Any, value: str) -> Any:
        return awaited(ctx, value)

    worker = make_worker()
    for activity in (sync, awaited, returned):
        worker.add_activity(activity)
    token = variable.set("start")
    worker.start()
    variable.reset(token)
    for number in range(30):
        for name in ("sync", "awaited", "returned"):
            sidecar.send(activity_item(name, f'"{name}{number}"', task_id=number))
    found = {wire.string(sidecar.completion()[1], 3, 1) for _ in range(90)}
    assert found == {
        f'["start", "{name}{number}"]'
        for name in ("sync", "awaited", "returned")
        for number in range(30)
    }


def test_a_logging_filter_that_raises_fails_no_work(
    make_worker: MakeWorker, sidecar: FakeSidecar, capfd: pytest.CaptureFixture[str]
) -> None:
    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("broken filter")

    def orchestrate(ctx: Any, _: Any) -> str:
        return "done"

    logger = logging.getLogger("durabletask.worker")
    broken, level = Broken(), logger.level
    logger.addFilter(broken)
    logger.setLevel(logging.DEBUG)
    try:
        worker = make_worker()
        worker.add_orchestrator(orchestrate)
        worker.start()
        sidecar.send(activity_item("echo", "7"))
        assert wire.string(sidecar.completion()[1], 3, 1) == "7"
        sidecar.send(orchestrator_item("orchestrate"))
        _, response = sidecar.completion()
        assert wire.string(response, 2, 6, 2, 1) == '"done"'
        worker.stop()
    finally:
        logger.removeFilter(broken)
        logger.setLevel(level)
    assert "broken filter" in capfd.readouterr().err


def test_no_receive_limit_applies_to_work_items(
    make_worker: MakeWorker, sidecar: FakeSidecar, caplog: pytest.LogCaptureFixture
) -> None:
    worker = make_worker(
        channel_options=[
            ("grpc.max_receive_message_length", 1000),
            ("grpc.primary_user_agent", "x"),
        ]
    )
    worker.start()
    payload = '"' + "x" * 100_000 + '"'
    sidecar.send(activity_item("echo", payload))
    assert wire.string(sidecar.completion()[1], 3, 1) == payload
    sidecar.end_stream()
    sidecar.wait_for_streams(2)
    warnings = [
        each.getMessage()
        for each in caplog.records
        if "max_receive_message_length" in each.msg % each.args
    ]
    assert len(warnings) == 1
    assert "grpc.max_receive_message_length=1000 does not apply to the worker" in warnings[0]


@pytest.mark.parametrize("keepalive", [0, 30.0])
def test_idle_orchestrators_are_let_go_of_with_and_without_keepalive(keepalive: float) -> None:
    ended = threading.Event()

    def wait(ctx: Any, _: Any) -> Any:
        try:
            yield ctx.wait_for_external_event("never")
        finally:
            ended.set()

    with (
        Sidecar() as sidecar,
        TaskHubGrpcWorker(
            host_address=sidecar.address,
            keepalive_interval=keepalive,
            replay_cache=ReplayCacheOptions(idle_timeout=0.1),
        ) as worker,
    ):
        worker.add_orchestrator(wait)
        worker.start()
        schedule(sidecar.address, "wait")
        assert ended.wait(SOON), "it is kept although it is idle"


def schedule(address: str, name: str) -> None:
    from durabletask.client import TaskHubGrpcClient

    with TaskHubGrpcClient(host_address=address) as client:
        instance_id = client.schedule_new_orchestration(name)
        client.wait_for_orchestration_start(instance_id, timeout=SOON)


def test_stop_closes_what_is_alive() -> None:
    closed_by: list[str] = []

    def wait(ctx: Any, _: Any) -> Any:
        try:
            yield ctx.wait_for_external_event("never")
        finally:
            ctx.call_activity("late")  # comes to nothing
            closed_by.append("stop" if stopping else "somebody else")

    stopping = False
    with (
        Sidecar() as sidecar,
        TaskHubGrpcWorker(host_address=sidecar.address) as worker,
    ):
        worker.add_orchestrator(wait)
        worker.start()
        schedule(sidecar.address, "wait")
        wait_until(
            lambda: worker.replay_cache_counters["instances"] == 1, "the instance is not alive"
        )
        stopping = True
        worker.stop()
        stopping = False
        assert closed_by == ["stop"]
        assert worker.replay_cache_counters["instances"] == 0
        worker.start()
    assert closed_by[0] == "stop"


def test_pauses_between_attempts_never_exceed_two_seconds() -> None:
    delays = backoff_delays(worker_run._FIRST_PAUSE, worker_run._LONGEST_PAUSE)
    longest = list(itertools.islice(delays, 10_000))
    assert max(longest) <= 2.0
    assert min(longest[100:]) < 1.0, "they are not spread"


def test_a_worker_is_back_two_seconds_after_its_sidecar(
    make_worker: MakeWorker, sidecar: FakeSidecar
) -> None:
    make_worker().start()
    sidecar.wait_for_streams(1)
    sidecar.stop()
    threading.Event().wait(5.0)  # pauses have grown to their longest by then
    sidecar.start()
    began = time.monotonic()
    sidecar.wait_for_streams(2)
    assert time.monotonic() - began < 2.5  # with what connecting takes on a busy machine


# Programs with an event loop


def test_asynchronous_activities_run_on_the_program_s_loop(sidecar: FakeSidecar) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        belongs_to_loop = asyncio.Event()

        async def meet(ctx: Any, value: Any) -> str:
            assert asyncio.get_running_loop() is loop
            await belongs_to_loop.wait()
            return threading.current_thread().name

        worker = TaskHubGrpcWorker(
            host_address=sidecar.address, log_handler=logging.NullHandler(), loop=loop
        )
        worker.add_activity(meet)
        async with worker:
            sidecar.send(activity_item("meet"))
            await asyncio.to_thread(sidecar.wait_for_streams, 1)
            belongs_to_loop.set()
            _, response = await asyncio.to_thread(sidecar.completion)
            assert wire.string(response, 3, 1) == '"MainThread"'
        assert not worker.is_worker_ready()

    asyncio.run(main())
    assert_no_threads_are_left()


def test_leaving_the_block_lets_activities_on_the_loop_end(sidecar: FakeSidecar) -> None:
    async def main() -> None:
        began = asyncio.Event()

        async def slow(ctx: Any, value: Any) -> str:
            began.set()
            await asyncio.sleep(0.2)
            return "ended"

        async with TaskHubGrpcWorker(
            host_address=sidecar.address,
            log_handler=logging.NullHandler(),
            loop=asyncio.get_running_loop(),
        ) as worker:
            worker._registry.add_named_activity("slow", slow)
            sidecar.send(activity_item("slow"))
            await asyncio.wait_for(began.wait(), SOON)

    asyncio.run(main())
    assert wire.string(sidecar.completion()[1], 3, 1) == '"ended"'


def test_lines_about_activities_that_others_cancel_have_their_fields(
    sidecar: FakeSidecar, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        began = asyncio.Event()

        async def stuck(ctx: Any, value: Any) -> None:
            began.set()
            await asyncio.Event().wait()

        async with TaskHubGrpcWorker(
            host_address=sidecar.address, loop=asyncio.get_running_loop()
        ) as worker:
            worker._registry.add_named_activity("stuck", stuck)
            sidecar.send(activity_item("stuck"))
            await asyncio.wait_for(began.wait(), SOON)
            for each in asyncio.all_tasks() - {asyncio.current_task()}:
                each.cancel()
            deadline = time.monotonic() + SOON
            while "cancelled from outside" not in caplog.text:
                assert time.monotonic() < deadline, f"no line tells of it, but {caplog.text}"
                await asyncio.sleep(0.01)

    asyncio.run(main())
    (line,) = [each for each in caplog.records if "cancelled from outside" in each.message]
    fields = [line.__dict__.get(name) for name in ("instance_id", "activity", "task_id")]
    assert fields == ["instance", "stuck", 1]
    assert sidecar.completions.empty(), "it is left unanswered"


def test_stop_on_the_loop_itself_cancels_instead_of_waiting_for_ever(
    sidecar: FakeSidecar, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        began, cancelled = asyncio.Event(), asyncio.Event()

        async def stuck(ctx: Any, value: Any) -> None:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        worker = TaskHubGrpcWorker(
            host_address=sidecar.address,
            log_handler=logging.NullHandler(),
            loop=asyncio.get_running_loop(),
        )
        worker.add_activity(stuck)
        await asyncio.to_thread(worker.start)
        sidecar.send(activity_item("stuck"))
        await asyncio.wait_for(began.wait(), SOON)
        before = time.monotonic()
        worker.stop()
        assert time.monotonic() - before < 10
        await asyncio.wait_for(cancelled.wait(), SOON)

    asyncio.run(main())
    assert "use `async with worker`" in caplog.text


def test_serve_ends_when_it_is_cancelled_and_lets_what_runs_end(sidecar: FakeSidecar) -> None:
    async def main() -> None:
        worker = TaskHubGrpcWorker(host_address=sidecar.address, log_handler=logging.NullHandler())
        worker.add_activity(echo)
        serving = asyncio.create_task(worker.serve())
        sidecar.send(activity_item("echo", "7"))
        _, response = await asyncio.to_thread(sidecar.completion)
        assert wire.string(response, 3, 1) == "7"
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not worker.is_worker_ready()
        again = asyncio.create_task(worker.serve())
        await asyncio.to_thread(sidecar.wait_for_streams, 2)
        await asyncio.to_thread(worker.stop)
        assert await again == 0

    asyncio.run(main())
    assert_no_threads_are_left()


def test_closing_an_asyncio_client_ends_its_waits_with_an_error_of_grpc() -> None:
    async def main(address: str) -> None:
        client = AsyncTaskHubGrpcClient(host_address=address)
        await client.schedule_new_orchestration("nobody", instance_id="waits")
        waiting = asyncio.create_task(client.wait_for_orchestration_completion("waits"))
        await asyncio.sleep(0.2)
        await client.aclose()
        with pytest.raises(grpc.RpcError) as caught:
            await asyncio.wait_for(waiting, SOON)
        assert caught.value.code() is grpc.StatusCode.CANCELLED
        assert "closed" in (caught.value.details() or "")

    with Sidecar() as sidecar:
        asyncio.run(main(sidecar.address))


def test_cancelling_a_wait_of_an_asyncio_client_stays_a_cancellation() -> None:
    async def main(address: str) -> None:
        async with AsyncTaskHubGrpcClient(host_address=address) as client:
            await client.schedule_new_orchestration("nobody", instance_id="waits")
            waiting = asyncio.create_task(client.wait_for_orchestration_completion("waits"))
            await asyncio.sleep(0.2)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    with Sidecar() as sidecar:
        asyncio.run(main(sidecar.address))


# Limits


@pytest.mark.skipif(sys.platform != "linux", reason="cgroups are Linux's")
@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/pod/worker", {"pod/cpu.max": "100000 100000", "pod/worker/cpu.max": "max 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/elsewhere", {"cpu.max": "50000 100000"}, 1),
        (
            "4:cpu,cpuacct:/pod",
            {
                "cpu,cpuacct/pod/cpu.cfs_quota_us": "100000",
                "cpu,cpuacct/pod/cpu.cfs_period_us": "100000",
            },
            1,
        ),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "no number"}, None),
        ("no cgroup", {}, None),
    ],
)
def test_processors_are_those_that_the_container_may_use(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cgroup: str,
    files: dict[str, str],
    expected: int | None,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(cgroup + "\n")
    for name, text in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    found = usable_processors(tmp_path / "proc", tmp_path / "cgroup")
    assert found == (8 if expected is None else expected)
