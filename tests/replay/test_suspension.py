"""Suspension, external events and continue-as-new: what waits, what is carried over, what is asked for once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from durabletask import task

from support.history import History
from support.replaying import calls, completion, output, play


def test_confirmations_count_while_suspended_so_that_no_action_is_sent_twice() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")
        return (yield ctx.call_activity("b"))

    history = History().turn().scheduled(1, "a").turn().completed(1).add("executionSuspended")
    assert calls(play(history, orchestrator)) == [(2, "scheduleTask", "b")]
    history.scheduled(2, "b").turn().raised("anything")
    assert calls(play(history, orchestrator)) == []
    history.turn().completed(2, "B")
    assert calls(play(history, orchestrator)) == []
    history.turn().add("executionResumed")
    assert output(play(history, orchestrator)) == '"B"'


def test_one_resume_is_enough_however_often_it_was_suspended() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        return (yield ctx.wait_for_external_event("go"))

    history = History().turn().add("executionSuspended").raised("go", 1).add("executionSuspended")
    assert calls(play(history, orchestrator)) == []
    assert output(play(history.turn().add("executionResumed"), orchestrator)) == "1"


def test_an_event_that_arrives_when_the_execution_continues_as_new_is_carried_over() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        event = ctx.wait_for_external_event("late")
        timer = ctx.create_timer(timedelta(seconds=1))
        winner = yield task.when_any([event, timer])
        assert winner is timer
        ctx.continue_as_new("next", save_events=True)

    history = History().turn().timer_created(1).turn().timer_fired(1).raised("Late", {"n": 0})
    end = completion(play(history, orchestrator))
    assert end.result.value == '"next"'
    carried = [(e.eventRaised.name, e.eventRaised.input.value) for e in end.carryoverEvents]
    assert carried == [("late", '{"n": 0}')]


def test_of_two_early_completions_the_one_that_fits_counts() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.wait_for_external_event("go")
        return (yield ctx.call_activity("a"))

    stale = "00000000-0000-0000-0000-000000000000"
    history = History().turn().completed(1, "right").completed(1, "stale", execution_id=stale)
    assert output(play(history.raised("go"), orchestrator)) == '"right"'
