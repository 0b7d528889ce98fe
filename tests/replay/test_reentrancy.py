"""Code that runs because the engine lets go of an object may call the context."""

from __future__ import annotations

import datetime as dt
import gc
from typing import Any

import pytest

from durabletask.replay import Replayer
from durabletask.task import CompletableTask, RetryPolicy, when_all
from durabletask.worker import ReplayCacheOptions

from support import messages
from support.history import History
from support.replaying import completion, failure, output, play

_SECOND = dt.timedelta(seconds=1)


def look_at(ctx: Any) -> None:
    """Everything that changes no id and no end."""
    assert ctx.instance_id == "abc"
    assert ctx.is_replaying in (True, False)
    ctx.current_utc_datetime  # noqa: B018
    ctx.app_id  # noqa: B018
    ctx.wait_for_external_event("never")
    ctx.set_custom_status("let go")
    ctx.is_patched("patch")
    ctx.uuid4()
    ctx.new_guid()
    ctx.get_propagated_history()


def use(ctx: Any) -> None:
    """Everything that a context can be called for."""
    look_at(ctx)
    ctx.current_utc_datetime = ctx.current_utc_datetime
    policy = RetryPolicy(first_retry_interval=_SECOND, max_number_of_attempts=2)
    ctx.call_activity("a", input=[1], retry_policy=policy)
    ctx.call_sub_orchestrator("o", input={"a": 1}, retry_policy=policy)
    ctx.create_timer(_SECOND)
    ctx.wait_for_external_event("e", timeout=_SECOND)
    ctx.send_event("other", "e", data=[2])
    ctx.continue_as_new("from __del__", save_events=True)


class Parting:
    """Calls the context when nobody holds it any longer."""

    def __init__(self, ctx: Any, told: list[BaseException | None], do: Any = use) -> None:
        self.ctx, self.told, self.do = ctx, told, do
        self.__name__ = "parting"

    def __call__(self) -> None:
        """So that it is an activity by its name."""

    def __del__(self) -> None:
        try:
            self.do(self.ctx)
        except BaseException as error:
            self.told.append(error)
        else:
            self.told.append(None)


def execute(replayer: Replayer, history: History) -> Any:
    return messages.OrchestratorResponse.FromString(replayer.execute(history.encode()))


def test_an_input_that_has_no_use_any_longer_may_call_the_context() -> None:
    told: list[BaseException | None] = []

    def again(ctx: Any, _: Any) -> None:
        ctx.continue_as_new("first")
        ctx.continue_as_new(Parting(ctx, told))

    response = play(History("again").turn(), again)
    end = response.actions[-1].completeOrchestration
    assert end.result.value == '"first"', "the first continue_as_new counts"
    assert told == [None], "the second input is let go of at once"


def test_an_end_that_the_history_contradicts_may_call_the_context() -> None:
    told: list[BaseException | None] = []

    def again(ctx: Any, _: Any) -> None:
        ctx.continue_as_new(Parting(ctx, told, look_at))

    history = History("again").turn().scheduled(1, "a").turn()
    assert failure(play(history, again)).errorType == "NonDeterminismError"
    assert told == [None]


def test_an_input_that_can_not_be_written_may_call_the_context() -> None:
    told: list[BaseException | None] = []

    def again(ctx: Any, _: Any) -> None:
        ctx.continue_as_new(Parting(ctx, told))

    assert "Parting" in failure(play(History("again").turn(), again)).errorMessage
    gc.collect()
    assert told == [None]


@pytest.mark.parametrize("cache", [None, ReplayCacheOptions()])
def test_results_may_call_the_context(cache: ReplayCacheOptions | None) -> None:
    told: list[BaseException | None] = []

    def steps(ctx: Any, _: Any) -> Any:
        own: Any
        for number in (1, 2, 3):
            own = CompletableTask()
            own.complete(Parting(ctx, told, look_at))
            yield when_all([own])
            assert (yield ctx.call_activity("a")) == number
        own = None
        return "done"

    replayer = Replayer([steps], replay_cache=cache)
    history = History("steps")
    execute(replayer, history)
    for number in (1, 2, 3):
        history.turn().scheduled(number, "a").completed(number, number)
        response = execute(replayer, history)
    assert output(response) == '"done"'
    gc.collect()
    assert told == [None] * len(told)
    assert len(told) == (3 if cache else 1 + 2 + 3 + 3)


@pytest.mark.parametrize("cache", [None, ReplayCacheOptions()])
def test_functions_that_are_forgotten_may_call_the_context(
    cache: ReplayCacheOptions | None,
) -> None:
    told: list[BaseException | None] = []
    functions = 40

    def many(ctx: Any, _: Any) -> Any:
        for _number in range(functions):
            ctx.call_activity(Parting(ctx, told, look_at))
        yield ctx.call_activity("last")

    replayer = Replayer([many], replay_cache=cache)
    history = History("many")
    assert len(execute(replayer, history).actions) == functions + 1
    for number in range(1, functions + 1):
        history.scheduled(number, "parting")
    history.turn().scheduled(functions + 1, "last").completed(functions + 1)
    completion(execute(replayer, history))
    del replayer
    gc.collect()
    assert told == [None] * (functions if cache else 2 * functions)


@pytest.mark.parametrize("ending", ["bound", "cleared", "dropped"])
def test_what_an_execution_that_is_put_out_held_may_call_its_context(ending: str) -> None:
    told: list[BaseException | None] = []

    def waits(ctx: Any, _: Any) -> Any:
        if ctx.instance_id == "other":
            yield ctx.call_activity("a")
        own: Any = CompletableTask()
        own.complete(Parting(ctx, told))
        local = Parting(ctx, told)
        yield own
        try:
            yield ctx.call_activity(Parting(ctx, told))
        finally:
            use(ctx)
            del local

    replayer = Replayer([waits], replay_cache=ReplayCacheOptions(max_instances=1))
    execute(replayer, History("waits"))
    assert told == []
    if ending == "bound":
        execute(replayer, History("waits", instance_id="other"))
    elif ending == "cleared":
        replayer._executor.clear_replay_cache()
    else:
        del replayer
    gc.collect()
    assert told == [None] * 3
