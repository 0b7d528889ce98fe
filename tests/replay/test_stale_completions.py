"""Completions that an execution has left over when it continued as new: they are not the next one's."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from durabletask.replay import Replayer
from durabletask.worker import ReplayCacheOptions

from support import messages
from support.history import History
from support.replaying import calls, output, play

OLD = "00000000-0000-0000-0000-000000000000"


def orchestrator(ctx: Any, _: Any) -> Any:
    return (yield ctx.call_activity("price"))


def execute(replayer: Replayer, history: History) -> Any:
    return messages.OrchestratorResponse.FromString(replayer.execute(history.encode()))


def test_a_result_of_the_execution_before_does_not_answer_the_next_ones_call() -> None:
    history = History().completed(1, "OLD", execution_id=OLD)
    first = play(history, orchestrator)
    assert calls(first) == [(1, "scheduleTask", "price")]
    own = first.actions[0].scheduleTask.taskExecutionId
    history.scheduled(1, "price", execution_id=own).turn().completed(1, "LATE", execution_id=OLD)
    assert not play(history, orchestrator).actions
    history.turn().completed(1, "NEW", execution_id=own)
    assert output(play(history, orchestrator)) == '"NEW"'


def test_a_live_execution_takes_no_notice_of_it_either() -> None:
    replayer = Replayer([orchestrator], replay_cache=ReplayCacheOptions())
    history = History()
    first = execute(replayer, history)
    own = first.actions[0].scheduleTask.taskExecutionId
    history.scheduled(1, "price", execution_id=own).turn().completed(1, "OLD", execution_id=OLD)
    assert not execute(replayer, history).actions
    history.turn().completed(1, "NEW", execution_id=own)
    assert output(execute(replayer, history)) == '"NEW"'
    assert replayer._executor.replay_cache_counters()["hits"] == 2


def test_a_timer_of_the_execution_before_does_not_end_the_next_ones_pause() -> None:
    def pause(ctx: Any, _: Any) -> Any:
        yield ctx.create_timer(timedelta(hours=1))
        return "an hour later"

    history = History("pause")
    due = history.now + timedelta(hours=1)
    history.timer_fired(1, fire_at=due - timedelta(minutes=10))
    assert calls(play(history, pause)) == [(1, "createTimer", "")]
    history.timer_created(1, fire_at=due).turn().timer_fired(1, fire_at=due)
    assert output(play(history, pause)) == '"an hour later"'


def test_the_log_says_that_it_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        play(History().completed(1, "OLD", execution_id=OLD), orchestrator)
    assert "a taskCompleted event names ID=1" in caplog.text
    assert "left over" in caplog.text
