"""Waiting for an external event with an end, and what timers say that they are for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from durabletask import task

from support.history import START
from support.replaying import calls, failure, output
from support.story import Story


def timer(response: Any) -> Any:
    """The only action, which has to create a timer."""
    assert [kind for _, kind, _ in calls(response)] == ["createTimer"]
    return response.actions[0].createTimer


def patient(ctx: Any, _: Any) -> Any:
    try:
        return (yield ctx.wait_for_external_event("Approval", timeout=timedelta(minutes=5)))
    except TimeoutError as error:
        yield ctx.call_activity("escalate", input=str(error))


async def patient_coroutine(ctx: Any, _: Any) -> Any:
    try:
        return await ctx.wait_for_external_event("Approval", timeout=timedelta(minutes=5))
    except TimeoutError as error:
        await ctx.call_activity("escalate", input=str(error))


@pytest.mark.parametrize("orchestrator", [patient, patient_coroutine])
def test_a_wait_that_ends_raises_timeout_error(orchestrator: Any) -> None:
    story = Story(orchestrator)
    wait = timer(story.answer())
    assert wait.externalEvent.name == "Approval"
    assert wait.fireAt.ToDatetime() == story.history.now.replace(tzinfo=None) + timedelta(minutes=5)

    story.next_turn(300).timer_fired(1)
    assert calls(story.answer()) == [(2, "scheduleTask", "escalate")]
    message = story.response.actions[0].scheduleTask.input.value
    assert "Approval" in message
    assert "300 s" in message


@pytest.mark.parametrize("orchestrator", [patient, patient_coroutine])
def test_an_event_in_time_is_the_result(orchestrator: Any) -> None:
    story = Story(orchestrator)
    story.answer()
    story.next_turn().raised("approval", {"by": "Ada"})
    assert output(story.answer()) == '{"by": "Ada"}'


def test_the_timer_of_a_wait_that_an_event_ended_disturbs_nothing() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        first = yield ctx.wait_for_external_event("e", timeout=timedelta(minutes=5))
        second = yield ctx.wait_for_external_event("e")
        return [first, second]

    story = Story(orchestrator)
    story.answer()
    story.next_turn().raised("e", 1)
    assert calls(story.answer()) == []
    story.next_turn().timer_fired(1)
    assert calls(story.answer()) == []
    story.next_turn().raised("e", 2)
    assert output(story.answer()) == "[1, 2]"


def test_an_unhandled_timeout_fails_the_orchestration_with_its_type() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.wait_for_external_event("e", timeout=timedelta(milliseconds=1500))

    story = Story(orchestrator)
    story.answer()
    story.next_turn().timer_fired(1)
    details = failure(story.answer())
    assert details.errorType == "TimeoutError"
    assert "'e'" in details.errorMessage
    assert "1.5 s" in details.errorMessage


@pytest.mark.parametrize("timeout", [timedelta(0), timedelta(seconds=-1), datetime(2020, 1, 1)])
def test_no_time_to_wait_counts_only_what_has_arrived(timeout: Any) -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.wait_for_external_event("go")
        arrived = yield ctx.wait_for_external_event("e", timeout=timeout)
        missing = ctx.wait_for_external_event("e", timeout=timeout)
        return [arrived, missing.is_failed, type(missing.get_exception()).__name__]

    story = Story(orchestrator)
    story.answer()
    story.next_turn().raised("e", 1).raised("go")
    assert output(story.answer()) == '[1, true, "TimeoutError"]'


def test_a_wait_may_end_at_a_point_in_time() -> None:
    until = START + timedelta(days=30)

    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.wait_for_external_event("e", timeout=until)

    assert timer(Story(orchestrator).answer()).fireAt.ToDatetime() == until.replace(tzinfo=None)


def test_a_wait_without_end_asks_for_no_timer() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.wait_for_external_event("e", timeout=None)

    assert calls(Story(orchestrator).answer()) == []


@pytest.mark.parametrize("fires", [True, False])
def test_when_any_and_when_all_take_waits_with_an_end(fires: bool) -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        wait = ctx.wait_for_external_event("e", timeout=timedelta(seconds=5))
        other = ctx.call_activity("slow")
        winner = yield task.when_any([other, wait])
        try:
            yield task.when_all([wait])
        except TimeoutError:
            return [winner is wait, "timeout"]
        return [winner is wait, wait.get_result()]

    story = Story(orchestrator)
    story.answer()
    history = story.next_turn(5)
    if fires:
        history.timer_fired(1)
    else:
        history.raised("e", 7)
    assert output(story.answer()) == ('[true, "timeout"]' if fires else "[true, 7]")


def test_a_timeout_of_another_type_is_refused() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.wait_for_external_event("e", timeout=5)

    details = failure(Story(orchestrator).answer())
    assert details.errorType == "TypeError"
    assert "wait_for_external_event takes a datetime or a timedelta, found int" in (
        details.errorMessage
    )


def test_timers_say_what_they_are_for() -> None:
    policy = task.RetryPolicy(first_retry_interval=timedelta(seconds=1), max_number_of_attempts=2)

    def orchestrator(ctx: Any, _: Any) -> Any:
        yield task.when_any(
            [
                ctx.create_timer(timedelta(hours=1)),
                task.when_all(
                    [
                        ctx.call_activity("a", retry_policy=policy),
                        ctx.call_sub_orchestrator("s", retry_policy=policy),
                    ]
                ),
            ]
        )

    story = Story(orchestrator)
    first = story.answer()
    assert first.actions[0].createTimer.WhichOneof("origin") == "createTimer"
    execution_id = first.actions[1].scheduleTask.taskExecutionId
    child = first.actions[2].createSubOrchestration.instanceId

    story.next_turn().failed(2).sub_failed(3)
    activity, sub = (action.createTimer for action in story.answer().actions)
    assert activity.activityRetry.taskExecutionId == execution_id
    assert sub.subOrchestrationRetry.instanceId == child
