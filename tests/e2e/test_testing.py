"""`durabletask.testing`: orchestrations whose time passes by itself, with the same history each time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from durabletask import task
from durabletask.client import OrchestrationFailedError, OrchestrationStatus
from durabletask.sidecar import Sidecar
from durabletask.testing import Environment

pytestmark = pytest.mark.sidecars("embedded", reason="only its time can be skipped")

Steps = Generator["task.Task[Any]", Any, Any]
START = datetime(2000, 1, 1, tzinfo=timezone.utc)


def sleeps(ctx: task.OrchestrationContext, days: int) -> Steps:
    for _ in range(days):
        yield ctx.create_timer(timedelta(days=1))
    return ctx.current_utc_datetime.isoformat()


def approval(ctx: task.OrchestrationContext, _: None) -> Steps:
    try:
        answer = yield ctx.wait_for_external_event("answer", timeout=timedelta(days=3))
    except TimeoutError:
        return "nobody answered"
    return answer


def uneven(ctx: task.ActivityContext, number: int) -> int:
    time.sleep(number * 7919 % 11 / 1000)
    return number


def uneven_child(ctx: task.OrchestrationContext, number: int) -> Steps:
    yield ctx.create_timer(timedelta(hours=number))
    result = yield ctx.call_activity(uneven, input=number)
    return result


def fan_out(ctx: task.OrchestrationContext, _: None) -> Steps:
    activities = [ctx.call_activity(uneven, input=n) for n in range(20)]
    children = [ctx.call_sub_orchestrator(uneven_child, input=n) for n in range(10)]
    results = yield task.when_all([*activities, *children])
    return sum(results)


def test_a_thousand_days_pass_in_a_moment() -> None:
    with Environment([sleeps]) as env:
        begun = time.monotonic()
        assert env.run(sleeps, input=1000) == "2002-09-27T00:00:00"
        assert time.monotonic() - begun < 20
        assert env.now() == START + timedelta(days=1000)


def test_time_begins_when_the_test_says() -> None:
    start = datetime(2024, 2, 28, 12, tzinfo=timezone(timedelta(hours=2)))
    with Environment([sleeps], start_time=start) as env:
        assert env.now() == start
        assert env.run(sleeps, input=2) == "2024-03-01T10:00:00"


@pytest.mark.parametrize("naive", [datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=timezone.utc)])
def test_a_time_without_a_zone_is_utc(naive: datetime) -> None:
    with Sidecar(time_skipping=True, start_time=naive) as sidecar:
        assert sidecar.now() == datetime(2024, 1, 1, tzinfo=timezone.utc)


def test_the_same_test_has_the_same_history_each_time() -> None:
    def history(seed: int) -> list[str]:
        with Environment([fan_out, uneven_child], [uneven], seed=seed) as env:
            assert env.run(fan_out, instance_id="one") == sum(range(20)) + sum(range(10))
            return [repr(event) for event in env.client.get_orchestration_history("one")]

    first = history(1)
    assert history(1) == first
    assert history(1) == first
    assert history(2) != first, "another seed, other ids"


def test_a_fake_takes_the_place_of_an_activity() -> None:
    def order(ctx: task.OrchestrationContext, price: int) -> Steps:
        receipt = yield ctx.call_activity("charge", input=price)
        return receipt

    with Environment([order], [("charge", lambda ctx, price: f"charged {price}")]) as env:
        assert env.run(order, input=3) == "charged 3"


def test_retries_wait_in_virtual_time() -> None:
    attempts = []

    def flaky(ctx: task.ActivityContext, _: None) -> str:
        attempts.append(env.now())
        if len(attempts) < 4:
            raise RuntimeError("not yet")
        return "done"

    def patient(ctx: task.OrchestrationContext, _: None) -> Steps:
        policy = task.RetryPolicy(
            first_retry_interval=timedelta(hours=1), max_number_of_attempts=5, backoff_coefficient=2
        )
        result = yield ctx.call_activity(flaky, retry_policy=policy)
        return result

    with Environment([patient], [flaky]) as env:
        assert env.run(patient) == "done"
    assert [at - START for at in attempts] == [timedelta(hours=hours) for hours in (0, 1, 3, 7)]


def test_a_failure_is_raised() -> None:
    def broken(ctx: task.OrchestrationContext, _: None) -> None:
        raise ValueError("no")

    with Environment([broken]) as env, pytest.raises(OrchestrationFailedError, match="no"):
        env.run(broken)


def test_a_client_can_raise_an_event_before_its_timeout_and_let_time_pass_after_it() -> None:
    with Environment([approval]) as env:
        assert env.run(approval) == "nobody answered"
        client = env.client
        first = client.schedule_new_orchestration(approval)
        client.wait_for_orchestration_start(first)
        client.raise_orchestration_event(first, "answer", data="yes")
        state = client.wait_for_orchestration_completion(first, timeout=20)
        assert state is not None
        assert state.serialized_output == '"yes"'

        begun = env.now()
        second = client.schedule_new_orchestration(approval)
        client.wait_for_orchestration_start(second)
        assert env.skip(timedelta(days=2)) == begun + timedelta(days=2)
        state = client.get_orchestration_state(second)
        assert state is not None
        assert state.runtime_status is OrchestrationStatus.RUNNING
        env.skip(timedelta(days=1))
        state = client.get_orchestration_state(second)
        assert state is not None
        assert state.serialized_output == '"nobody answered"'


def test_time_passes_also_when_nobody_waits_and_a_scheduled_start_comes() -> None:
    with Environment([sleeps]) as env:
        env.client.schedule_new_orchestration(
            sleeps, input=1, instance_id="one", start_at=datetime(2000, 1, 8)
        )
        deadline = time.monotonic() + 20
        while True:
            state = env.client.get_orchestration_state("one")
            assert state is not None
            if state.runtime_status is OrchestrationStatus.COMPLETED:
                break
            assert time.monotonic() < deadline, f"it is {state.runtime_status} at {env.now()}"
            time.sleep(0.02)
        assert state.serialized_output == '"2000-01-09T00:00:00"'


def test_time_stands_still_while_an_activity_runs() -> None:
    release = threading.Event()
    running = threading.Event()

    def slow(ctx: task.ActivityContext, _: None) -> None:
        running.set()
        assert release.wait(20)

    def race(ctx: task.OrchestrationContext, _: None) -> Steps:
        activity = ctx.call_activity(slow)
        timer = ctx.create_timer(timedelta(seconds=1))
        winner = yield task.when_any([activity, timer])
        return "activity" if winner is activity else "timer"

    with Environment([race], [slow]) as env:
        instance = env.client.schedule_new_orchestration(race)
        assert running.wait(20)
        with pytest.raises(TimeoutError, match="something is running"):
            env.skip(timedelta(hours=1), timeout=0.1)
        assert env.now() == START
        release.set()
        state = env.client.wait_for_orchestration_completion(instance, timeout=20)
        assert state is not None
        assert state.serialized_output == '"activity"'


def test_answers_do_not_wait_for_an_activity_that_waits_for_them() -> None:
    answered = threading.Event()

    def waits(ctx: task.ActivityContext, _: None) -> bool:
        return answered.wait(20)

    def answers(ctx: task.ActivityContext, _: None) -> None:
        answered.set()

    def both(ctx: task.OrchestrationContext, _: None) -> Steps:
        waiting = ctx.call_activity(waits)
        yield ctx.call_activity(uneven, input=1)
        yield ctx.call_activity(answers)
        result = yield waiting
        return result

    with Environment([both], [waits, answers, uneven]) as env:
        assert env.run(both) is True


def test_without_code_of_its_own_the_work_is_left_to_others() -> None:
    from durabletask.worker import TaskHubGrpcWorker

    with Environment() as env, TaskHubGrpcWorker(host_address=env.sidecar.address) as worker:
        worker.add_orchestrator(sleeps)
        worker.start()
        assert env.run(sleeps, input=1) == "2000-01-02T00:00:00"


async def _in_asyncio() -> None:
    async with Environment([sleeps, approval]) as env:
        assert await env.arun(sleeps, input=30) == "2000-01-31T00:00:00"
        instance = await env.aio_client.schedule_new_orchestration(approval)
        await env.aio_client.raise_orchestration_event(instance, "answer", data=1)
        state = await env.aio_client.wait_for_orchestration_completion(instance, timeout=20)
        assert state is not None
        assert state.serialized_output == "1"


def test_it_works_in_asyncio() -> None:
    import asyncio

    asyncio.run(_in_asyncio())


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match="time_skipping=True"):
        Sidecar(seed=1)
    with pytest.raises(ValueError, match="turn_lease"):
        Sidecar(turn_lease=0)
    with Environment(time_skipping=False) as env:
        assert abs(env.now() - datetime.now(timezone.utc)) < timedelta(minutes=1)
        with pytest.raises(RuntimeError, match="time_skipping=True"):
            env.skip(timedelta(days=1))
    with Environment() as env, pytest.raises(ValueError, match="does not go back"):
        env.skip(timedelta(days=-1))
    with pytest.raises(RuntimeError, match="not running"):
        env.now()


def test_the_fixture_closes_what_it_made(
    durabletask_environment: Callable[..., Environment],
) -> None:
    env = durabletask_environment([sleeps], seed=3)
    assert env.run(sleeps, input=1) == "2000-01-02T00:00:00"


def test_the_plugin_costs_nothing_until_it_is_used(tmp_path: Path) -> None:
    test = tmp_path / "test_nothing.py"
    test.write_text(
        "import sys\ndef test_it():\n    assert not {'grpc', 'durabletask._core'} & set(sys.modules)\n"
    )
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            "/dev/null",
            "--rootdir",
            str(tmp_path),
            str(test),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr
