"""History that calls hand on, and what those who are called see of it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from durabletask import task

from support import messages
from support.history import History
from support.replaying import failure, output
from support.story import Story


def family(ctx: Any, _: Any) -> Any:
    scope = task.HistoryPropagation
    yield task.when_all(
        [
            ctx.call_activity("a", propagation=scope.OWN_HISTORY),
            ctx.call_sub_orchestrator("s", propagation=scope.LINEAGE),
            ctx.call_activity("b", propagation=scope.NONE),
            ctx.call_activity("c"),
        ]
    )


def test_calls_say_how_much_history_they_hand_on() -> None:
    own, lineage, none, unset = Story(family).answer().actions
    assert own.scheduleTask.historyPropagationScope == 1
    assert lineage.createSubOrchestration.historyPropagationScope == 2
    assert none.scheduleTask.HasField("historyPropagationScope")
    assert none.scheduleTask.historyPropagationScope == 0
    assert not unset.scheduleTask.HasField("historyPropagationScope")


@pytest.mark.parametrize("scope", [3, True, "LINEAGE"])
def test_another_scope_is_refused(scope: Any) -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a", propagation=scope)

    details = failure(Story(orchestrator).answer())
    assert details.errorType == "TypeError"
    assert "HistoryPropagation" in details.errorMessage


def propagated() -> Any:
    """What a parent with one activity hands on."""
    history = messages.PropagatedHistory(scope=2)
    chunk = history.chunks.add(appId="shop", instanceId="parent", workflowName="order")
    for event in History("order").scheduled(1, "reserve").request.newEvents:
        chunk.rawEvents.append(event.SerializeToString())
    return history


def curious(ctx: Any, _: Any) -> Any:
    def seen() -> Any:
        history = ctx.get_propagated_history()
        if history is None:
            return None
        (chunk,) = history.chunks
        assert history.scope is task.HistoryPropagation.LINEAGE
        names = [event.event_type for event in chunk.events]
        return [chunk.app_id, chunk.instance_id, chunk.workflow_name, names]

    before = seen()
    yield ctx.call_activity("a")
    return before == seen() and seen()


def test_an_orchestration_sees_what_its_parent_hands_on() -> None:
    story = Story(curious)
    story.history.request.propagatedHistory.CopyFrom(propagated())
    story.answer()
    story.next_turn().completed(1)
    assert output(story.answer()) == (
        '["shop", "parent", "order", ["orchestratorStarted", "executionStarted", "taskScheduled"]]'
    )


def test_an_orchestration_that_was_handed_nothing_sees_none() -> None:
    story = Story(curious)
    story.answer()
    story.next_turn().completed(1)
    assert output(story.answer()) == "", "None is no output"


def test_an_activity_sees_what_its_orchestration_hands_on() -> None:
    from durabletask import _core
    from durabletask._worker.activities import ActivityExecutor
    from durabletask.worker import _Registry

    def look(ctx: task.ActivityContext, _: Any) -> Any:
        history = ctx.get_propagated_history()
        return history and [chunk.workflow_name for chunk in history.chunks]

    registry = _Registry()
    registry.add_activity(look)
    executor = ActivityExecutor(registry, logging.getLogger("activities"))
    item = messages.WorkItem()
    item.activityRequest.name = "look"
    for expected in (None, ["order"]):
        decoded = _core.decode_work_item(item.SerializeToString())
        assert executor.call("i", "look", 1, None, "", decoded.propagated_history) == expected
        item.activityRequest.propagatedHistory.CopyFrom(propagated())
