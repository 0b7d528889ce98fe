"""`on_mismatch="stall"`: code that does not fit an instance leaves it to another worker."""

from __future__ import annotations

from typing import Any

import pytest

from durabletask import _core
from durabletask._worker.typed import TypedOrchestrators
from durabletask.replay import Replayer
from durabletask.worker import ReplayCacheOptions, _Registry

from support import messages
from support.history import History


def registry_of(*orchestrators: Any, version: str | None = None) -> _Registry:
    registry = _Registry()
    for orchestrator in orchestrators:
        registry.add_named_orchestrator(orchestrator.__name__, orchestrator, version)
    return registry


def executor_of(*orchestrators: Any, warm: bool = False, version: str | None = None) -> Any:
    return _core.Executor(
        TypedOrchestrators(registry_of(*orchestrators, version=version)),
        replay_cache=ReplayCacheOptions().limits if warm else None,
        on_mismatch="stall",
    )


def item(history: History) -> bytes:
    encoded: bytes = messages.WorkItem(
        orchestratorRequest=history.request, completionToken="token"
    ).SerializeToString()
    return encoded


def stalled(executor: Any, history: History) -> _core.Stalled:
    with pytest.raises(_core.Stalled) as caught:
        executor.execute_work_item(item(history))
    return caught.value


def pay(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("check")
    return (yield ctx.call_activity("pay"))


def before() -> History:
    """A history of the code before `pay` had a check."""
    return History("pay").turn().scheduled(1, "pay").turn().completed(1)


def test_code_that_does_something_else_than_the_history_stalls_with_the_report_of_a_check() -> None:
    error = stalled(executor_of(pay), before())
    assert (error.kind, error.instance_id, error.name) == ("nondeterminism", "abc", "pay")
    assert error.version is None
    check = Replayer([pay]).check(before().encode())
    assert error.report == check.message
    assert 'yield ctx.call_activity("check")' in error.report, "the line is not said"
    assert str(error) == error.report


def test_code_that_ended_before_its_history_stalls() -> None:
    def pay(ctx: Any, _: Any) -> Any:
        return "done"

    error = stalled(executor_of(pay), before())
    assert error.kind == "nondeterminism"
    assert "had ended" in error.report or "has ended" in error.report


def test_code_that_raised_where_the_history_goes_on_stalls() -> None:
    def pay(ctx: Any, _: Any) -> Any:
        raise KeyError("new")

    error = stalled(executor_of(pay), before())
    assert error.kind == "nondeterminism"
    assert "KeyError" in error.report


def test_an_orchestrator_that_is_not_registered_stalls() -> None:
    error = stalled(executor_of(pay), History("other"))
    assert (error.kind, error.name, error.version) == ("orchestrator", "other", None)
    assert error.report == "A 'other' orchestrator was not registered."


def test_a_version_that_is_not_registered_stalls() -> None:
    history = History("pay")
    history.request.newEvents[0].orchestratorStarted.version.name = "v2"
    error = stalled(executor_of(pay, version="v1"), history)
    assert (error.kind, error.name, error.version) == ("version", "pay", "v2")
    assert "Version 'v2'" in error.report
    assert "v1" in error.report


def test_an_orchestrator_that_fails_does_not_stall() -> None:
    def pay(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("pay")
        raise ValueError("no money")

    response = messages.OrchestratorResponse.FromString(
        executor_of(pay).execute_work_item(item(before()))
    )
    assert response.actions[0].completeOrchestration.failureDetails.errorType == "ValueError"


def test_what_stalls_is_not_kept_and_goes_on_where_the_code_fits() -> None:
    good = True

    def pay(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("pay" if good else "check")
        return "paid"

    executor = executor_of(pay, warm=True)
    good = False
    assert stalled(executor, before()).kind == "nondeterminism"
    assert executor.replay_cache_counters()["instances"] == 0
    good = True
    response = messages.OrchestratorResponse.FromString(executor.execute_work_item(item(before())))
    assert response.actions[0].completeOrchestration.result.value == '"paid"'


def test_a_live_orchestrator_that_parts_from_its_history_stalls_too() -> None:
    executor = executor_of(pay, warm=True)
    history = History("pay")
    executor.execute_work_item(item(history))
    confirmation = History("x").scheduled(1, "another").request.newEvents[-1]
    history.turn().request.pastEvents.append(confirmation)
    history.raised("go")
    error = stalled(executor, history)
    assert (error.kind, error.name) == ("nondeterminism", "pay")
    assert "call_activity('another')" in error.report
    assert executor.replay_cache_counters()["instances"] == 0


def test_without_being_told_nothing_stalls() -> None:
    executor = _core.Executor(registry_of(pay))
    response = messages.OrchestratorResponse.FromString(executor.execute_work_item(item(before())))
    failure = response.actions[0].completeOrchestration.failureDetails
    assert failure.errorType == "NonDeterminismError"
    with pytest.raises(ValueError, match="on_mismatch"):
        _core.Executor(registry_of(pay), on_mismatch="wait")  # type: ignore[arg-type]
