"""Code that was changed after its history was made is told what differs, and where in its source."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from durabletask.replay import Replayer
from durabletask.task import when_all
from durabletask.worker import ReplayCacheOptions

from support import messages
from support.history import History
from support.replaying import failure, play


def line_of(function: Callable[..., Any], text: str) -> str:
    """Where `text` stands in the source of `function`, as `file:line`."""
    lines, first = inspect.getsourcelines(function)
    (offset,) = (number for number, line in enumerate(lines) if text in line)
    return f"{__file__}:{first + offset} in "


def a_then_b() -> History:
    """What `a`, then a timer, then the sub-orchestration `c` leave behind."""
    return (
        History("orchestrator", instance_id="order-7")
        .scheduled(1, "a")
        .turn()
        .completed(1)
        .timer_created(2)
        .turn()
        .timer_fired(2)
        .sub_created(3, "c")
        .turn()
        .sub_completed(3)
    )


def unchanged(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    yield ctx.create_timer(ctx.current_utc_datetime)
    yield ctx.call_sub_orchestrator("c")


def adds(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    yield ctx.call_activity("new")
    yield ctx.create_timer(ctx.current_utc_datetime)
    yield ctx.call_sub_orchestrator("c")


def removes(ctx: Any, _: Any) -> Any:
    yield ctx.create_timer(ctx.current_utc_datetime)
    yield ctx.call_sub_orchestrator("c")


def renames(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    yield ctx.create_timer(ctx.current_utc_datetime)
    yield ctx.call_sub_orchestrator("see")


def reorders(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    yield ctx.call_sub_orchestrator("c")
    yield ctx.create_timer(ctx.current_utc_datetime)


def retypes(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    yield ctx.create_timer(ctx.current_utc_datetime)
    yield ctx.call_activity("c")


def waits_instead(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    yield ctx.wait_for_external_event("go")


# the code, the event's index and id, what the history says, what the code did, the line where it stands
CHANGES = [
    (adds, 5, 2, "create_timer", "call_activity('new')", 'call_activity("new")'),
    (removes, 2, 1, "call_activity('a')", "create_timer", "create_timer("),
    (renames, 8, 3, "call_sub_orchestrator('c')", "call_sub_orchestrator('see')", '"see"'),
    (reorders, 5, 2, "create_timer", "call_sub_orchestrator('c')", 'call_sub_orchestrator("c")'),
    (retypes, 8, 3, "call_sub_orchestrator('c')", "call_activity('c')", 'call_activity("c")'),
    (waits_instead, 5, 2, "create_timer", "no call with this ID", 'wait_for_external_event("go")'),
]


def named_orchestrator(function: Callable[..., Any]) -> Callable[..., Any]:
    def orchestrator(ctx: Any, value: Any) -> Any:
        return function(ctx, value)

    return orchestrator


def test_code_that_was_not_changed_replays() -> None:
    response = play(a_then_b(), named_orchestrator(unchanged))
    assert messages.status_name(response.actions[0].completeOrchestration.orchestrationStatus) == (
        "COMPLETED"
    )


@pytest.mark.parametrize(
    ("code", "index", "event_id", "recorded", "done", "text"),
    CHANGES,
    ids=[change[0].__name__ for change in CHANGES],
)
def test_a_change_is_reported_with_the_event_and_the_source_line(
    code: Callable[..., Any], index: int, event_id: int, recorded: str, done: str, text: str
) -> None:
    details = failure(play(a_then_b(), named_orchestrator(code)))
    assert details.errorType == "NonDeterminismError"
    message = details.errorMessage
    assert message.startswith("order-7: ")
    assert f"event {index} (ID={event_id})" in message
    assert f"a previous execution called {recorded} with ID={event_id}" in message
    assert done in message
    assert line_of(code, text) + code.__name__ in message
    assert text in message.rpartition(" in ")[2], "the line's text follows its place"


@pytest.mark.parametrize("cache", [None, ReplayCacheOptions()], ids=["cold", "cached"])
def test_it_is_reported_the_same_with_and_without_a_replay_cache(
    cache: ReplayCacheOptions | None,
) -> None:
    replayer = Replayer([named_orchestrator(renames)], replay_cache=cache)
    response = messages.OrchestratorResponse.FromString(replayer.execute(a_then_b().encode()))
    assert "event 8 (ID=3)" in failure(response).errorMessage


def test_the_line_is_the_one_in_the_innermost_generator() -> None:
    def helper(ctx: Any) -> Any:
        yield ctx.call_activity("b")

    def orchestrator(ctx: Any, _: Any) -> Any:
        yield from helper(ctx)

    message = failure(play(History().scheduled(1, "a").turn(), orchestrator)).errorMessage
    assert line_of(helper, 'call_activity("b")') + "helper" in message


def test_the_line_is_the_one_in_the_innermost_coroutine() -> None:
    async def helper(ctx: Any) -> Any:
        await ctx.call_activity("b")

    async def orchestrator(ctx: Any, _: Any) -> Any:
        await helper(ctx)

    message = failure(play(History().scheduled(1, "a").turn(), orchestrator)).errorMessage
    assert line_of(helper, 'call_activity("b")') + "helper" in message


def test_the_line_is_found_behind_an_asynchronous_generator() -> None:
    async def results(ctx: Any) -> Any:
        yield await ctx.call_activity("b")

    async def orchestrator(ctx: Any, _: Any) -> Any:
        async for _result in results(ctx):
            pass

    message = failure(play(History().scheduled(1, "a").turn(), orchestrator)).errorMessage
    assert line_of(results, 'call_activity("b")') + "results" in message


def test_code_without_a_readable_source_is_named_by_file_and_line() -> None:
    namespace: dict[str, Any] = {}
    source = "def orchestrator(ctx, _):\n    yield ctx.call_activity('b')\n"
    exec(compile(source, "<generated>", "exec"), namespace)
    story = History().scheduled(1, "a").turn()
    message = failure(play(story, namespace["orchestrator"])).errorMessage
    assert message.endswith("The orchestrator stands at <generated>:2 in orchestrator")


def test_a_call_of_a_fan_out_is_named_though_the_code_waits_elsewhere() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        tasks = [ctx.call_activity(name) for name in ("a", "x")]
        yield when_all(tasks)

    story = History().scheduled(1, "a").scheduled(2, "b").turn()
    message = failure(play(story, orchestrator)).errorMessage
    assert "call_activity('b')" in message
    assert "call_activity('x')" in message
    assert line_of(orchestrator, "when_all(tasks)") in message


def test_an_event_that_had_to_wait_is_named_by_its_place_in_the_history() -> None:
    """Events are held while an execution is suspended; what is wrong with them shows after that."""

    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.wait_for_external_event("go")

    unknown = b"\x08\x01\xba\x06\x00"  # eventId = 1, field 103
    request = (
        History().add("executionSuspended").encode()
        + (b"\x22" + bytes([len(unknown)]) + unknown)
        + messages.OrchestratorRequest(
            newEvents=[raised(), raised(), resumed()]
        ).SerializeToString()
    )
    response = Replayer([orchestrator]).execute(request)
    details = failure(messages.OrchestratorResponse.FromString(response))
    assert details.errorMessage.startswith("abc: event 3 of the history has a type")


def raised() -> Any:
    event = messages.HistoryEvent(eventId=-1)
    event.eventRaised.name = "other"
    return event


def resumed() -> Any:
    event = messages.HistoryEvent(eventId=-1)
    event.executionResumed.SetInParent()
    return event
