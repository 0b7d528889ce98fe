"""What orchestrators may ask for beyond 0.17: waits with an end, events for others, propagation, quiet logs.

Each story is played by orchestrators that stay alive between turns, and replayed from the start at
every turn; both have to give the same answers.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import pytest

from durabletask import task
from durabletask.replay import Replayer
from durabletask.worker import ReplayCacheOptions

from support import messages
from support.history import START, History
from support.replaying import calls, failure, output


class Story:
    """An orchestration turn by turn."""

    def __init__(self, orchestrator: Any) -> None:
        self.history = History(orchestrator.__name__)
        self._cold = Replayer([orchestrator])
        self._live = Replayer([orchestrator], replay_cache=ReplayCacheOptions())
        self._turns = 0
        self.response: Any = None

    def answer(self) -> Any:
        """The response to the turn as it is told now."""
        request = self.history.encode()
        live, cold = (
            messages.OrchestratorResponse.FromString(replayer.execute(request))
            for replayer in (self._live, self._cold)
        )
        stack_traces_apart(live, cold)
        assert live == cold, "a live orchestrator answers otherwise than a replayed one"
        hits = self._live.replay_cache_counters["hits"]
        assert hits == self._turns, f"{self._turns} turns could go on, {hits} did"
        self._turns += 1
        self.response = cold
        return cold

    def next_turn(self, seconds: float = 1.0) -> History:
        """Confirm what was asked for, and begin the next turn."""
        confirmations = History("x").confirm(self.response).request.newEvents[2:]
        self.history.turn(seconds=seconds)
        self.history.request.pastEvents.extend(confirmations)
        return self.history


def stack_traces_apart(*responses: Any) -> None:
    for response in responses:
        for action in response.actions:
            if action.HasField("completeOrchestration"):
                action.completeOrchestration.failureDetails.ClearField("stackTrace")


def timer(response: Any) -> Any:
    """The only action, which has to create a timer."""
    assert [kind for _, kind, _ in calls(response)] == ["createTimer"]
    return response.actions[0].createTimer


# Waiting with an end


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


# Events for others


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


# What timers are for


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


# Propagation


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


# Quiet logs


def test_a_replay_safe_logger_is_silent_while_replaying(caplog: pytest.LogCaptureFixture) -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        logger = ctx.create_replay_safe_logger(logging.getLogger("orders"))
        logger.info("reserving %s", "a piano", extra={"order": 7})
        assert logger.isEnabledFor(logging.INFO) is not ctx.is_replaying
        yield ctx.call_activity("a")
        logger.warning("reserved")

    caplog.set_level(logging.INFO, "orders")
    replayer = Replayer([orchestrator])
    history = History("orchestrator")
    replayer.execute(history.encode())
    replayer.execute(history.turn().scheduled(1, "a").turn().completed(1).encode())
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert lines == [("INFO", "reserving a piano"), ("WARNING", "reserved")]
    first = caplog.records[0]
    assert (first.__dict__["order"], first.funcName) == (7, "orchestrator")
