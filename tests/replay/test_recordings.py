"""Every turn recorded on real sidecars yields the response that was recorded, as a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from durabletask.replay import Replayer
from durabletask.worker import ReplayCacheOptions

from recordings import scenarios
from support import messages
from support.turns import read_turns, recorded_scenarios


def comparable(response: bytes) -> Any:
    """The response without its stack traces, which name files and lines of the worker that made it,
    and without what its timers are for and what is behind its failures, which the recorded worker did not say."""
    message = messages.OrchestratorResponse.FromString(response)
    for action in message.actions:
        if action.HasField("createTimer"):
            action.createTimer.ClearField(action.createTimer.WhichOneof("origin") or "createTimer")
        complete = action.completeOrchestration
        if action.HasField("completeOrchestration") and complete.HasField("failureDetails"):
            complete.failureDetails.ClearField("stackTrace")
            complete.failureDetails.ClearField("innerFailure")
    return message


def scenario_of(path: Path) -> str:
    return path.stem.split("-")[-1]


@pytest.mark.parametrize("path", recorded_scenarios(), ids=lambda path: path.stem)
def test_recorded_turns_yield_the_recorded_responses(path: Path) -> None:
    orchestrators, _ = scenarios.SCENARIOS[scenario_of(path)]
    replayer = Replayer(orchestrators=orchestrators)
    turns = read_turns(path)
    assert turns, f"{path} holds no turns"
    for number, turn in enumerate(turns):
        item = messages.WorkItem.FromString(turn.work_item)
        response = replayer.execute(item.orchestratorRequest.SerializeToString())
        actual, expected = comparable(response), comparable(turn.response)
        actual.completionToken = expected.completionToken
        assert actual == expected, f"turn {number} of {path.name} differs"


@pytest.mark.parametrize("path", recorded_scenarios(), ids=lambda path: path.stem)
def test_recorded_turns_yield_the_same_responses_from_live_orchestrators(path: Path) -> None:
    orchestrators, _ = scenarios.SCENARIOS[scenario_of(path)]
    replayer = Replayer(orchestrators=orchestrators, replay_cache=ReplayCacheOptions())
    follow_ups = 0
    for number, turn in enumerate(read_turns(path)):
        request = messages.WorkItem.FromString(turn.work_item).orchestratorRequest
        follow_ups += bool(request.pastEvents)
        response = replayer.execute(request.SerializeToString())
        actual, expected = comparable(response), comparable(turn.response)
        actual.completionToken = expected.completionToken
        assert actual == expected, f"turn {number} of {path.name} differs"
    counters = replayer.replay_cache_counters
    assert counters["hits"] == follow_ups, f"{follow_ups} turns could go on, {counters['hits']} did"
    assert counters["instances"] == 0, "an orchestration that has ended is kept alive"


@pytest.mark.parametrize("path", recorded_scenarios(), ids=lambda path: path.stem)
def test_a_work_item_is_answered_with_its_completion_token(path: Path) -> None:
    from durabletask import _core
    from durabletask.worker import _Registry

    registry = _Registry()
    for orchestrator in scenarios.SCENARIOS[scenario_of(path)][0]:
        registry.add_orchestrator(orchestrator)
    executor = _core.Executor(registry)
    for turn in read_turns(path):
        assert comparable(executor.execute_work_item(turn.work_item)) == comparable(turn.response)
