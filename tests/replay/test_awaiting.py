"""What orchestrators may wait for, and what they get: single tasks, composites, values that are falsy or early."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durabletask import task

from support.history import History
from support.replaying import calls, completion, failure, output, play


def test_a_task_that_is_complete_when_it_is_first_yielded_does_not_hold_up() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        nothing = yield task.when_all([])
        return [nothing, (yield task.when_all([]))]

    assert output(play(History(), orchestrator)) == "[[], []]"


def test_an_empty_when_any_completes_with_an_empty_list() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        return (yield task.when_any([]))

    assert output(play(History(), orchestrator)) == "[]"


@pytest.mark.parametrize("first", [True, False])
def test_yielding_what_is_no_task_fails_the_orchestration(first: bool) -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        if not first:
            yield ctx.call_activity("a")
        yield 42

    history = History()
    if not first:
        history.turn().scheduled(1, "a").turn().completed(1)
    details = failure(play(history, orchestrator))
    assert details.errorType == "TypeError"
    assert "int" in details.errorMessage
    assert "no durable task" in details.errorMessage


def test_when_all_fails_with_the_first_failure_and_ignores_what_comes_later() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        try:
            yield task.when_all(
                [ctx.call_activity("a"), ctx.call_activity("b"), ctx.call_activity("c")]
            )
        except task.TaskFailedError as error:
            caught = str(error)
        return [caught, (yield ctx.wait_for_external_event("go"))]

    history = History().turn().scheduled(1, "a").scheduled(2, "b").scheduled(3, "c")
    history.turn().failed(2, message="first").failed(1, message="second").completed(3).raised(
        "go", "on"
    )
    assert output(play(history, orchestrator)) == '["abc: Activity task #2 failed: first", "on"]'


def test_a_task_may_belong_to_several_composites_and_stand_in_one_twice() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        shared = ctx.call_activity("a")
        both = task.when_all([shared, shared])
        winner = yield task.when_any([shared, ctx.create_timer(timedelta(hours=1))])
        pair = yield both
        return [winner is shared, pair]

    history = History().turn().scheduled(1, "a").timer_created(2).turn().completed(1, 7)
    assert output(play(history, orchestrator)) == "[true, [7, 7]]"


def test_when_any_over_nested_composites_returns_the_composite_that_won() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        group = task.when_all([ctx.call_activity("a"), ctx.call_activity("b")])
        other = task.when_any([ctx.call_activity("c"), ctx.call_activity("d")])
        winner = yield task.when_any([group, other])
        return [winner is other, other.get_result().get_result(), group.is_complete]

    history = History().turn()
    for number, name in enumerate("abcd", start=1):
        history.scheduled(number, name)
    history.turn().completed(1, "A").completed(4, "D")
    assert output(play(history, orchestrator)) == '[true, "D", false]'


def test_the_winner_is_who_completed_first_even_if_nobody_was_waiting_then() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        race = task.when_any([ctx.call_activity("slow"), ctx.call_activity("fast")])
        yield ctx.wait_for_external_event("go")
        return (yield race).get_result()

    history = History().turn().scheduled(1, "slow").scheduled(2, "fast")
    history.turn().completed(2, "fast").completed(1, "slow").raised("go")
    assert output(play(history, orchestrator)) == '"fast"'


def test_when_all_over_tasks_that_have_partly_completed_waits_for_the_rest() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        first, second = ctx.call_activity("a"), ctx.call_activity("b")
        yield first
        return (yield task.when_all([first, second]))

    history = (
        History()
        .turn()
        .scheduled(1, "a")
        .scheduled(2, "b")
        .turn()
        .completed(1, 1)
        .turn()
        .completed(2, 2)
    )
    assert output(play(history, orchestrator)) == "[1, 2]"


@pytest.mark.parametrize("value", [0, "", [], {}, False])
def test_falsy_event_data_and_termination_output_are_kept(value: Any) -> None:
    import json

    def orchestrator(ctx: Any, _: Any) -> Any:
        return (yield ctx.wait_for_external_event("data"))

    assert output(play(History().turn().raised("data", value), orchestrator)) == json.dumps(value)
    assert completion(
        play(History().turn().terminated(value), orchestrator)
    ).result.value == json.dumps(value)


def test_a_completion_that_arrives_before_its_call_is_kept_for_it() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.wait_for_external_event("go")
        return (yield ctx.call_activity("a"))

    assert (
        output(play(History().turn().completed(1, "early").raised("go"), orchestrator)) == '"early"'
    )


def test_a_completion_of_another_execution_is_not_taken_for_an_early_one() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.wait_for_external_event("go")
        return (yield ctx.call_activity("a"))

    stale = (
        History()
        .turn()
        .completed(1, "stale", execution_id="00000000-0000-0000-0000-000000000000")
        .raised("go")
    )
    assert calls(play(stale, orchestrator)) == [(1, "scheduleTask", "a")]


def test_coroutines_and_generators_make_the_same_calls() -> None:
    async def helper(ctx: Any) -> Any:
        return await ctx.call_activity("a", input=1)

    async def coroutine(ctx: Any, _: Any) -> Any:
        first = await helper(ctx)
        try:
            await ctx.call_activity("b")
        except task.TaskFailedError as error:
            caught = error.details.error_type
        both = await task.when_all([ctx.call_activity("c"), ctx.call_activity("d")])
        return [first, caught, both]

    def generator(ctx: Any, _: Any) -> Any:
        first = yield ctx.call_activity("a", input=1)
        try:
            yield ctx.call_activity("b")
        except task.TaskFailedError as error:
            caught = error.details.error_type
        both = yield task.when_all([ctx.call_activity("c"), ctx.call_activity("d")])
        return [first, caught, both]

    stories = [History("x"), History("x").turn().scheduled(1, "a").turn().completed(1, "A")]
    stories.append(
        History("x").turn().scheduled(1, "a").completed(1, "A").scheduled(2, "b").turn().failed(2)
    )
    whole = History("x").turn().scheduled(1, "a").completed(1, "A").scheduled(2, "b").failed(2)
    stories.append(whole.scheduled(3, "c").scheduled(4, "d").turn().completed(4, 4).completed(3, 3))
    for orchestrator in (coroutine, generator):
        orchestrator.__name__ = "x"
    for story in stories:
        assert play(story, coroutine) == play(story, generator)
    assert output(play(whole, coroutine)) == '["A", "ValueError", [3, 4]]'


def test_awaiting_what_is_no_durable_task_says_what_to_do_instead() -> None:
    import asyncio

    async def orchestrator(ctx: Any, _: Any) -> Any:
        await asyncio.sleep(0)

    details = failure(play(History(), orchestrator))
    assert details.errorType == "TypeError"
    assert "activity" in details.errorMessage


@pytest.mark.parametrize("pause_ends", [1.0, 2.0])
def test_no_attempt_begins_once_the_retry_timeout_is_over(pause_ends: float) -> None:
    policy = task.RetryPolicy(
        first_retry_interval=timedelta(seconds=1),
        max_number_of_attempts=5,
        retry_timeout=timedelta(seconds=4),
    )

    def orchestrator(ctx: Any, _: Any) -> Any:
        try:
            yield ctx.call_activity("a", retry_policy=policy)
        except task.TaskFailedError as error:
            return str(error)

    # Scheduled at second 1; the first attempt fails at 3, and the pause is over at 4 or at 5.
    history = History().turn(seconds=1).scheduled(1, "a").turn(seconds=1).failed(1)
    history.turn(seconds=0).timer_created(2).turn(seconds=pause_ends).timer_fired(2)
    response = play(history, orchestrator)
    if pause_ends == 1.0:
        assert calls(response) == [(3, "scheduleTask", "a")]
    else:
        assert output(response) == '"abc: Activity task #1 failed: boom"'
