"""Calls that may take only so long: `timeout=` of `call_activity` and `call_sub_orchestrator`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from durabletask.replay import Replayer
from durabletask.task import RetryPolicy
from durabletask.worker import ReplayCacheOptions

from support import messages
from support.history import History
from support.replaying import calls, output, play

MINUTE = timedelta(minutes=1)
BOUNDED = [(1, "scheduleTask", "slow"), (2, "createTimer", "")]


def orchestrator(ctx: Any, _: Any) -> Any:
    try:
        return (yield ctx.call_activity("slow", timeout=MINUTE))
    except TimeoutError as error:
        ctx.set_custom_status(str(error))
        return (yield ctx.call_activity("other"))


def asked() -> tuple[History, Any]:
    """The history after the first turn, and the time at which the call is over."""
    history = History()
    until = history.now + MINUTE
    history.scheduled(1, "slow").timer_created(2, fire_at=until)
    return history.turn(), until


def test_a_call_with_a_timeout_asks_for_a_timer_too() -> None:
    history = History()
    response = play(history, orchestrator)
    assert calls(response) == BOUNDED
    timer = response.actions[1].createTimer
    assert timer.fireAt.ToDatetime(tzinfo=history.now.tzinfo) == history.now + MINUTE
    assert timer.WhichOneof("origin") is None


def test_the_result_counts_if_it_comes_first() -> None:
    history, until = asked()
    history.completed(1, "done").timer_fired(2, fire_at=until)
    assert output(play(history, orchestrator)) == '"done"'


def test_a_call_that_takes_too_long_raises_timeout_error_and_its_result_is_ignored() -> None:
    history, until = asked()
    response = play(history.timer_fired(2, fire_at=until), orchestrator)
    assert calls(response) == [(3, "scheduleTask", "other")]
    assert response.customStatus.value.startswith(
        "abc: call_activity('slow') with ID=1 did not complete within its timeout of 60 s"
    )
    history.scheduled(3, "other").turn().completed(1, "late").completed(3, "other")
    assert output(play(history, orchestrator)) == '"other"'


def test_a_live_orchestrator_times_out_as_a_replayed_one_does() -> None:
    replayer = Replayer([orchestrator], replay_cache=ReplayCacheOptions())
    history = History()
    until = history.now + MINUTE

    def answered() -> Any:
        return messages.OrchestratorResponse.FromString(replayer.execute(history.encode()))

    assert calls(answered()) == BOUNDED
    history.scheduled(1, "slow").timer_created(2, fire_at=until).turn()
    history.timer_fired(2, fire_at=until)
    assert calls(answered()) == [(3, "scheduleTask", "other")]
    history.scheduled(3, "other").turn().completed(1, "late").completed(3, "other")
    assert output(answered()) == '"other"'
    assert replayer._executor.replay_cache_counters()["hits"] == 2


def test_with_a_retry_policy_each_attempt_has_its_time() -> None:
    policy = RetryPolicy(first_retry_interval=timedelta(seconds=1), max_number_of_attempts=2)

    def retried(ctx: Any, _: Any) -> Any:
        try:
            return (yield ctx.call_activity("slow", timeout=MINUTE, retry_policy=policy))
        except TimeoutError:
            return "both took too long"

    history = History("retried")
    assert calls(play(history, retried)) == BOUNDED
    history.scheduled(1, "slow").timer_created(2).turn(seconds=60).timer_fired(2)
    assert calls(play(history, retried)) == [(3, "createTimer", "")]
    history.timer_created(3).turn().timer_fired(3)
    assert calls(play(history, retried)) == [(4, "scheduleTask", "slow"), (5, "createTimer", "")]
    history.scheduled(4, "slow").timer_created(5).turn(seconds=60).timer_fired(5)
    assert output(play(history, retried)) == '"both took too long"'


def test_sub_orchestrations_and_coroutines_have_it_too() -> None:
    async def parent(ctx: Any, _: Any) -> Any:
        try:
            await ctx.call_sub_orchestrator("child", timeout=MINUTE)
        except TimeoutError as error:
            return str(error)

    history = History("parent").sub_created(1, "child").timer_created(2).turn(seconds=60)
    message = output(play(history.timer_fired(2), parent))
    assert "call_sub_orchestrator('child') with ID=1 did not complete within" in message


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        (timedelta(0), "timeout must be positive, found 0:00:00"),
        (-MINUTE, "timeout must be positive, found -1 day, 23:59:00"),
        (5, "timeout takes a timedelta, found int"),
    ],
)
def test_other_timeouts_are_refused(timeout: Any, error: str) -> None:
    def refused(ctx: Any, _: Any) -> Any:
        with pytest.raises((ValueError, TypeError), match=error):
            ctx.call_activity("slow", timeout=timeout)
        yield from ()
        return "refused"

    assert output(play(History("refused"), refused)) == '"refused"'


def test_recorded_histories_with_timeouts_are_checked() -> None:
    history, until = asked()
    history.timer_fired(2, fire_at=until)
    report = Replayer([orchestrator]).check(history.encode())
    assert report.ok, str(report)
