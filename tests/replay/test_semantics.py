"""Following the engines inside Dapr's SDK where they decide otherwise than 0.17."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durabletask import task
from durabletask._worker.options import Semantics
from durabletask.replay import Replayer
from durabletask.worker import ReplayCacheOptions, TaskHubGrpcWorker

from support import messages
from support.history import History
from support.replaying import calls, failure, output

DAPR: list[Semantics] = ["dapr-1.18", "dapr-1.19"]


def played(semantics: Semantics, history: History, orchestrator: Any) -> Any:
    """The response to the last turn, which is the same from a live orchestrator and from a replayed one."""
    encoded = [
        Replayer([orchestrator], semantics=semantics, replay_cache=cache).execute(history.encode())
        for cache in (None, ReplayCacheOptions())
    ]
    assert encoded[0] == encoded[1]
    return messages.OrchestratorResponse.FromString(encoded[0])


def both(ctx: Any, _: Any) -> Any:
    tasks = [ctx.call_activity("a"), ctx.call_activity("b")]
    try:
        return (yield task.when_all(tasks))
    except task.TaskFailedError as error:
        return [str(error), tasks[0].is_complete]


async def both_coroutine(ctx: Any, _: Any) -> Any:
    tasks = [ctx.call_activity("a"), ctx.call_activity("b")]
    try:
        return await task.when_all(tasks)
    except task.TaskFailedError as error:
        return [str(error), tasks[0].is_complete]


def failed_second(name: str) -> History:
    history = History(name).scheduled(1, "a").scheduled(2, "b")
    return history.turn().failed(2, message="second")


@pytest.mark.parametrize("orchestrator", [both, both_coroutine])
def test_when_all_waits_for_all_and_fails_with_the_first_failure(orchestrator: Any) -> None:
    history = failed_second(orchestrator.__name__)
    assert calls(played("dapr-1.19", history, orchestrator)) == []
    ended = played("dapr-1.19", history.turn().failed(1, message="first"), orchestrator)
    assert output(ended) == '["abc: Activity task #2 failed: second", true]'


@pytest.mark.parametrize("semantics", ["0.17", "dapr-1.18"])
def test_when_all_fails_with_the_first_failure_at_once(semantics: Semantics) -> None:
    response = played(semantics, failed_second("both"), both)
    assert output(response) == '["abc: Activity task #2 failed: second", false]'


def test_of_failures_before_the_question_the_first_in_the_list_counts() -> None:
    def late(ctx: Any, _: Any) -> Any:
        tasks = [ctx.call_activity("a"), ctx.call_activity("b")]
        yield ctx.wait_for_external_event("go")
        try:
            yield task.when_all(tasks)
        except task.TaskFailedError as error:
            return error.details.message

    history = History("late").scheduled(1, "a").scheduled(2, "b").turn().failed(2, message="two")
    history.failed(1, message="one").raised("go")
    assert output(played("dapr-1.19", history, late)) == '"one"'


def test_when_all_in_when_any_is_not_done_by_a_failure() -> None:
    def nested(ctx: Any, _: Any) -> Any:
        group = task.when_all([ctx.call_activity("a"), ctx.call_activity("b")])
        timer = ctx.create_timer(timedelta(hours=1))
        first = yield task.when_any([group, timer])
        return first is timer

    history = History("nested").scheduled(1, "a").scheduled(2, "b").timer_created(3)
    history.turn().failed(1).timer_fired(3)
    assert output(played("dapr-1.19", history, nested)) == "true"
    assert output(played("0.17", history, nested)) == "false"


def waits(ctx: Any, _: Any) -> Any:
    got = yield ctx.wait_for_external_event("Go")
    yield ctx.call_activity("a", input=got)


@pytest.mark.parametrize("semantics", DAPR)
def test_a_wait_without_an_end_takes_an_id_for_a_timer_that_never_fires(
    semantics: Semantics,
) -> None:
    history = History("waits")
    response = played(semantics, history, waits)
    assert calls(response) == [(1, "createTimer", "")]
    timer = response.actions[0].createTimer
    assert (timer.fireAt.seconds, timer.fireAt.nanos) == (253402300799, 999999999)
    assert timer.externalEvent.name == "Go"

    created = messages.TimerCreatedEvent(fireAt=timer.fireAt)
    created.externalEvent.name = "Go"
    history.add("timerCreated", created, event_id=1).turn().raised("go", 7)
    assert calls(played(semantics, history, waits)) == [(2, "scheduleTask", "a")]


@pytest.mark.parametrize("semantics", DAPR)
def test_a_history_of_0_17_goes_on_with_its_own_ids(semantics: Semantics) -> None:
    history = History("waits").turn().raised("go").scheduled(1, "a").turn().completed(1)
    assert played(semantics, history, waits).actions[0].id == 2


@pytest.mark.parametrize("semantics", DAPR)
def test_a_wait_that_ends_says_so_in_the_words_of_dapr(semantics: Semantics) -> None:
    def bounded(ctx: Any, _: Any) -> Any:
        yield ctx.wait_for_external_event("Go", timeout=timedelta(minutes=1))

    history = History("bounded").timer_created(1).turn().timer_fired(1)
    details = failure(played(semantics, history, bounded))
    expected = "Timed out after datetime.timedelta(seconds=60) waiting for external event 'Go'"
    assert (details.errorType, details.errorMessage) == ("TimeoutError", expected)


@pytest.mark.parametrize("semantics", DAPR)
def test_no_time_to_wait_takes_no_id_and_less_than_none_is_for_ever(semantics: Semantics) -> None:
    def hurried(ctx: Any, _: Any) -> Any:
        try:
            yield ctx.wait_for_external_event("Go", timeout=timedelta(0))
        except TimeoutError:
            yield ctx.wait_for_external_event("Go", timeout=timedelta(seconds=-1))

    response = played(semantics, History("hurried"), hurried)
    assert [action.createTimer.fireAt.seconds for action in response.actions] == [253402300799]
    assert response.actions[0].id == 1


def retried(ctx: Any, _: Any) -> Any:
    policy = task.RetryPolicy(
        first_retry_interval=timedelta(seconds=1),
        max_number_of_attempts=5,
        retry_timeout=timedelta(seconds=10),
    )
    yield ctx.call_activity("a", retry_policy=policy)


@pytest.mark.parametrize("semantics", DAPR)
def test_time_that_passes_does_not_end_retries(semantics: Semantics) -> None:
    history = History("retried").scheduled(1, "a").turn(seconds=100).failed(1)
    assert calls(played(semantics, history, retried)) == [(2, "createTimer", "")]
    assert failure(played("0.17", history, retried)).errorType == "TaskFailedError"


@pytest.mark.parametrize("make", [Replayer, TaskHubGrpcWorker])
def test_other_semantics_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"semantics must be one of '0.17'.*found '0.16'"):
        make(semantics="0.16")


def test_a_replayer_follows_its_worker() -> None:
    worker = TaskHubGrpcWorker(semantics="dapr-1.19")
    worker.add_orchestrator(waits)
    encoded = Replayer.from_worker(worker).execute(History("waits").encode())
    assert calls(messages.OrchestratorResponse.FromString(encoded)) == [(1, "createTimer", "")]
    encoded = Replayer.from_worker(worker, semantics="0.17").execute(History("waits").encode())
    assert calls(messages.OrchestratorResponse.FromString(encoded)) == []
