"""Code that ends where its history goes on is told so: what it should have called, and how it ended instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from durabletask.replay import Replayer
from durabletask.task import RetryPolicy, when_all, when_any
from durabletask.worker import ReplayCacheOptions, TaskHubGrpcWorker

from support import messages
from support.history import History
from support.replaying import calls, completion, failure, output, play

Confirm = Callable[[History, int], History]
SECOND = timedelta(seconds=1)


def line_of(function: Callable[..., Any], text: str) -> str:
    """Where `text` stands in the source of `function`, as `file:line in name`."""
    lines, first = inspect.getsourcelines(function)
    (offset,) = (number for number, line in enumerate(lines) if text in line)
    return f"{__file__}:{first + offset} in {function.__name__}"


def went_on(code: Callable[..., Any], confirm: Confirm, event_id: int = 2) -> History:
    """What is left of code that called `a`, and after that one thing more: its confirmation is event 5."""
    story = History(code.__name__, instance_id="order-7").scheduled(1, "a").turn().completed(1)
    return confirm(story, event_id).turn().raised("whatever")


def activity(story: History, event_id: int) -> History:
    return story.scheduled(event_id, "b")


def sub_orchestration(story: History, event_id: int) -> History:
    return story.sub_created(event_id, "b")


def timer(story: History, event_id: int) -> History:
    return story.timer_created(event_id)


def returns(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    return "done"


async def coroutine(ctx: Any, _: Any) -> Any:
    await ctx.call_activity("a")
    return "done"


def plain(ctx: Any, _: Any) -> Any:
    ctx.call_activity("a")
    return "done"


def raises(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    raise KeyError("stock")


def again(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    ctx.continue_as_new("next")


def again_and_waits(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    ctx.continue_as_new("next")
    yield ctx.wait_for_external_event("never")


# the code, how it ended, where it is said to be
ENDS: list[tuple[Callable[..., Any], str, tuple[Callable[..., Any], str, str]]] = [
    (returns, "it returned", (returns, "begins at", "def returns")),
    (coroutine, "it returned", (coroutine, "begins at", "async def coroutine")),
    (plain, "it returned", (plain, "begins at", "def plain")),
    (raises, "it raised KeyError: 'stock'", (raises, "raised it at", "raise KeyError")),
    (again, "it called continue_as_new", (again, "begins at", "def again")),
    (
        again_and_waits,
        "it called continue_as_new",
        (again_and_waits, "stands at", 'wait_for_external_event("never")'),
    ),
]


CONFIRMATIONS: dict[Confirm, str] = {
    activity: "call_activity('b')",
    sub_orchestration: "call_sub_orchestrator('b')",
    timer: "create_timer",
}
by_name = pytest.mark.parametrize("confirm", CONFIRMATIONS, ids=lambda each: each.__name__)


@by_name
@pytest.mark.parametrize(("code", "end", "place"), ENDS, ids=[code.__name__ for code, _, _ in ENDS])
def test_it_is_reported_with_the_event_and_the_source_line(
    code: Callable[..., Any],
    end: str,
    place: tuple[Callable[..., Any], str, str],
    confirm: Confirm,
) -> None:
    details = failure(play(went_on(code, confirm), code))
    assert details.errorType == "NonDeterminismError"
    message = details.errorMessage
    assert message.startswith("order-7: history and code disagree at event 5 (ID=2): ")
    assert f"a previous execution called {CONFIRMATIONS[confirm]} with ID=2" in message
    assert f"but the current code had ended by then: {end}." in message
    function, what, text = place
    found = f"The orchestrator {what} {line_of(function, text)}: "
    assert found in message
    assert text in message.partition(found)[2], "the line's text follows its place"


def test_the_traceback_of_what_the_code_raised_is_kept() -> None:
    trace = failure(play(went_on(raises, activity), raises)).stackTrace.value
    assert 'raise KeyError("stock")' in trace


def test_a_call_far_from_the_end_is_reported_as_well() -> None:
    """The ids between were those of calls that were made and confirmed in the same turn."""
    message = failure(play(went_on(returns, timer, 9), returns)).errorMessage
    assert "disagree at event 5 (ID=9)" in message


@pytest.mark.parametrize(
    "code", [returns, coroutine, raises, again], ids=lambda each: each.__name__
)
def test_it_is_reported_the_same_with_and_without_a_replay_cache(code: Callable[..., Any]) -> None:
    """The turns before are those of the code as it was; then the worker is started with what it is now."""

    def longer(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")
        yield ctx.call_activity("b")

    before, now = longer, code
    longer.__name__ = code.__name__
    messages_of = []
    for cache in (None, ReplayCacheOptions()):
        story = History(code.__name__)
        replayer = Replayer([before], replay_cache=cache)
        for task_id in (1, 2):
            response = messages.OrchestratorResponse.FromString(replayer.execute(story.encode()))
            assert [each[0] for each in calls(response)] == [task_id]
            story.confirm(response).turn().completed(task_id)
        replayer = Replayer([now], replay_cache=cache)
        response = messages.OrchestratorResponse.FromString(replayer.execute(story.encode()))
        messages_of.append(failure(response).errorMessage)
    assert messages_of[0] == messages_of[1]
    assert "call_activity('b') with ID=2, but the current code had ended by then" in messages_of[0]


# --- what contradicts nothing


def test_calls_that_nobody_waited_for_may_be_confirmed_after_the_end() -> None:
    """0.17.4 hangs where a task is complete when it is yielded first, so that its histories go on there."""

    def orchestrator(ctx: Any, _: Any) -> Any:
        ctx.call_activity("a")
        ctx.create_timer(ctx.current_utc_datetime)
        ctx.call_sub_orchestrator("c")
        yield when_all([])
        return "done"

    story = History().turn().scheduled(1, "a").timer_created(2).sub_created(3, "c").turn()
    assert output(play(story.completed(1), orchestrator)) == '"done"'


def test_the_losers_of_when_any_may_end_after_the_code() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        tasks = [ctx.call_activity(name) for name in "ab"]
        winner = yield when_any(tasks)
        return winner.get_result()

    story = History().scheduled(1, "a").scheduled(2, "b").turn().completed(1, "first")
    assert output(play(story, orchestrator)) == '"first"'
    assert output(play(story.turn().completed(2, "second"), orchestrator)) == '"first"'


def test_a_retry_of_a_call_that_nobody_waits_for_goes_on() -> None:
    policy = RetryPolicy(first_retry_interval=SECOND, max_number_of_attempts=3)

    def orchestrator(ctx: Any, _: Any) -> Any:
        ctx.call_activity("a", retry_policy=policy)
        yield when_all([])
        return "done"

    story = History().scheduled(1, "a").turn().failed(1).timer_created(2).turn().timer_fired(2)
    story.scheduled(3, "a").turn().completed(3)
    assert output(play(story, orchestrator)) == '"done"'


def test_an_event_that_was_sent_contradicts_nothing() -> None:
    """Workers that can not send events pass over these."""
    story = went_on(returns, lambda story, event_id: story.event_sent(event_id, "Go"))
    assert output(play(story, returns)) == '"done"'


def test_a_terminated_execution_contradicts_nothing() -> None:
    story = History("returns").turn().terminated("enough").scheduled(2, "b").turn().raised("go")
    end = completion(play(story, returns))
    assert messages.status_name(end.orchestrationStatus) == "TERMINATED"


def test_a_turn_for_a_version_that_is_not_registered_is_given_back() -> None:
    worker = TaskHubGrpcWorker()
    worker._registry.add_named_orchestrator("returns", returns, "v1", is_latest=True)
    story = went_on(returns, activity)
    story.request.pastEvents[0].orchestratorStarted.version.name = "v2"
    response = Replayer.from_worker(worker).execute(story.encode())
    (action,) = messages.OrchestratorResponse.FromString(response).actions
    assert action.WhichOneof("orchestratorActionType") == "orchestratorVersionNotAvailable"
