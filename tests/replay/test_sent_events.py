"""`ctx.send_event`: events for other instances, sent once and not waited for."""

from __future__ import annotations

from typing import Any

import pytest

from durabletask.replay import Replayer

from support import messages
from support.history import History
from support.replaying import calls, failure, output
from support.story import Story


def notifier(ctx: Any, _: Any) -> Any:
    nothing = ctx.send_event("other", "Done", data={"n": 1})
    result = yield ctx.call_activity("a")
    ctx.send_event("other", "Over")
    return [nothing, result]


def test_an_event_is_sent_once_and_not_waited_for() -> None:
    story = Story(notifier)
    assert calls(story.answer()) == [(1, "sendEvent", "Done"), (2, "scheduleTask", "a")]
    sent = story.response.actions[0].sendEvent
    assert (sent.instance.instanceId, sent.data.value) == ("other", '{"n": 1}')

    story.next_turn().completed(2, "A")
    response = story.answer()
    kinds = [(3, "sendEvent", "Over"), (4, "completeOrchestration", "")]
    assert calls(response) == kinds, "what is sent in the last turn is sent before the end"
    assert not response.actions[0].sendEvent.HasField("data")
    assert response.actions[1].completeOrchestration.result.value == '[null, "A"]'


def test_a_call_in_the_place_of_a_sent_event_is_non_determinism() -> None:
    history = History("notifier").turn().event_sent(1, "Begun").turn()
    response = messages.OrchestratorResponse.FromString(
        Replayer([notifier]).execute(history.encode())
    )
    details = failure(response)
    assert details.errorType == "NonDeterminismError"
    assert "send_event('Begun')" in details.errorMessage
    assert "send_event('Done')" in details.errorMessage


@pytest.mark.parametrize(("instance_id", "data"), [("", None), ("other", object)])
def test_what_can_not_be_sent_is_refused_where_it_is_called(instance_id: str, data: Any) -> None:
    async def orchestrator(ctx: Any, _: Any) -> Any:
        try:
            ctx.send_event(instance_id, "e", data=data)
        except (TypeError, ValueError) as error:
            return type(error).__name__

    expected = '"TypeError"' if data else '"ValueError"'
    assert output(Story(orchestrator).answer()) == expected


def recorded_notifier() -> Any:
    """The history of `notifier`, as a sidecar keeps it."""
    history = History("notifier").event_sent(1, "Done").scheduled(2, "a")
    history.turn().completed(2, "A").event_sent(3, "Over")
    ended = messages.ExecutionCompletedEvent(orchestrationStatus=1)
    ended.result.value = '[null, "A"]'
    history.add("executionCompleted", ended, event_id=4)
    request = history.request
    return messages.GetInstanceHistoryResponse(events=[*request.pastEvents, *request.newEvents])


def test_a_history_with_an_event_sent_in_its_last_turn_passes_the_check() -> None:
    result = Replayer([notifier]).check(recorded_notifier().SerializeToString())
    assert result.status.value == "ok", result.message


def test_a_last_event_that_is_no_longer_sent_is_found_by_the_check() -> None:
    def notifier(ctx: Any, _: Any) -> Any:
        ctx.send_event("other", "Done")
        yield ctx.call_activity("a")

    result = Replayer([notifier]).check(recorded_notifier().SerializeToString())
    assert result.status.value == "non-deterministic"
