"""Orchestrators that stay alive between turns do what replaying them from the start would do."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from durabletask import _core
from durabletask.replay import Replayer
from durabletask.worker import ReplayCacheOptions, _Registry

from support import messages
from support.history import History
from support.replaying import calls, output

STARTS: list[str] = []


@pytest.fixture(autouse=True)
def _count_starts() -> None:
    STARTS.clear()


def three_steps(ctx: Any, _: Any) -> Any:
    STARTS.append(ctx.instance_id)
    first = yield ctx.call_activity("a")
    second = yield ctx.call_activity("b")
    third = yield ctx.call_activity("c")
    return [first, second, third]


def story(turns: int) -> History:
    """The history of `three_steps` at the beginning of a turn, counted from 0."""
    history = History("three_steps")
    for number, name in enumerate("abc"[:turns], start=1):
        history.turn().request.pastEvents.add().CopyFrom(
            History("x").scheduled(number, name).request.newEvents[-1]
        )
        history.completed(number, name.upper())
    return history


def live(*orchestrators: Any, **bounds: Any) -> Replayer:
    return Replayer(orchestrators, replay_cache=ReplayCacheOptions(**bounds))


def execute(replayer: Replayer, history: History) -> Any:
    return messages.OrchestratorResponse.FromString(replayer.execute(history.encode()))


def cold(history: History, *orchestrators: Any) -> Any:
    return execute(Replayer(orchestrators), history)


def test_a_turn_that_continues_the_last_one_does_not_start_over() -> None:
    replayer = live(three_steps)
    for turns in range(4):
        assert execute(replayer, story(turns)) == cold(story(turns), three_steps)
    assert len(STARTS) == 1 + 4, "one start of the live orchestrator and four of the others"
    counters = replayer.replay_cache_counters
    assert counters == {"hits": 3, "misses": 0, "evictions": 0, "instances": 0, "bytes": 0}


def test_a_turn_that_is_sent_again_is_replayed_from_the_start() -> None:
    replayer = live(three_steps)
    execute(replayer, story(0))
    for _ in range(2):
        assert calls(execute(replayer, story(1))) == [(2, "scheduleTask", "b")]
    assert replayer.replay_cache_counters["misses"] == 1
    assert len(STARTS) == 2


def test_a_turn_that_another_worker_took_is_caught_up_with() -> None:
    replayer = live(three_steps)
    execute(replayer, story(0))
    execute(replayer, story(1))
    assert output(execute(replayer, story(3))) == '["A", "B", "C"]'
    assert len(STARTS) == 1


@pytest.mark.parametrize("place", ["pastEvents", "newEvents"])
def test_a_history_that_is_not_the_one_it_lived_through_is_replayed_from_the_start(
    place: str,
) -> None:
    replayer = live(three_steps)
    execute(replayer, story(0))
    execute(replayer, story(1))
    other = story(2)
    changed = other.request.pastEvents if place == "pastEvents" else other.request.newEvents
    changed[0].timestamp.nanos += 1
    for event in other.request.pastEvents:
        if event.HasField("taskCompleted"):
            event.taskCompleted.result.value = '"another"'
    assert execute(replayer, other) == cold(other, three_steps)
    assert replayer.replay_cache_counters["misses"] == 1


def test_a_version_written_into_the_last_turns_beginning_is_no_difference() -> None:
    def patched(ctx: Any, _: Any) -> Any:
        STARTS.append("patched")
        yield ctx.call_activity("a" if ctx.is_patched("p") else "old")
        return (yield ctx.call_activity("b"))

    replayer = live(patched)
    execute(replayer, History("patched"))
    history = History("patched")
    history.request.newEvents[0].orchestratorStarted.version.patches.append("p")
    history.turn().request.pastEvents.add().CopyFrom(
        History("x").scheduled(1, "a").request.newEvents[-1]
    )
    response = execute(replayer, history.completed(1))
    assert calls(response) == [(2, "scheduleTask", "b")]
    assert list(response.version.patches) == ["p"]
    assert STARTS == ["patched"]


def delta(history: History, since: int) -> bytes:
    """The request without its first `since` past events, as a sidecar sends it that has sent those before."""
    request = messages.OrchestratorRequest.FromString(history.encode())
    del request.pastEvents[:since]
    request.cachedHistory.eventCount = since
    encoded: bytes = request.SerializeToString()
    return encoded


def answer(executor: _core.Executor, request: bytes, fetch: Any = None) -> Any:
    return messages.OrchestratorResponse.FromString(executor.execute(request, "", fetch))


def stateful_executor() -> _core.Executor:
    registry = _Registry()
    registry.add_orchestrator(three_steps)
    return _core.Executor(registry, replay_cache=ReplayCacheOptions().limits)


def past_count(history: History) -> int:
    return len(history.request.pastEvents)


def test_a_request_that_leaves_out_what_was_sent_before_goes_on() -> None:
    executor = stateful_executor()
    answer(executor, story(0).encode())
    for turns in (1, 2, 3):
        request = delta(story(turns), past_count(story(turns - 1)))
        assert answer(executor, request) == cold(story(turns), three_steps)
    assert executor.replay_cache_counters()["hits"] == 3


def test_whole_histories_and_partial_ones_may_alternate() -> None:
    executor = stateful_executor()
    answer(executor, story(0).encode())
    answer(executor, delta(story(1), past_count(story(0))))
    answer(executor, story(2).encode())
    response = answer(executor, delta(story(3), past_count(story(2))))
    assert output(response) == '["A", "B", "C"]'
    assert executor.replay_cache_counters()["hits"] == 3


def test_a_past_that_is_left_out_and_not_known_is_fetched() -> None:
    whole = story(2)
    stored = messages.GetInstanceHistoryResponse(events=whole.request.pastEvents)
    asked = []

    def fetch(instance_id: str) -> bytes:
        asked.append(instance_id)
        history: bytes = stored.SerializeToString()
        return history

    executor = stateful_executor()
    request = delta(whole, past_count(story(1)))
    assert answer(executor, request, fetch) == cold(whole, three_steps)
    assert asked == ["abc"]
    assert output(answer(executor, delta(story(3), past_count(whole)))) == '["A", "B", "C"]'


def test_a_past_that_can_not_be_had_is_no_failure_of_the_orchestration() -> None:
    request = delta(story(2), past_count(story(1)))
    with pytest.raises(LookupError, match="no way to fetch"):
        stateful_executor().execute(request)
    with pytest.raises(LookupError, match="shorter"):
        stateful_executor().execute(request, "", lambda _: b"")

    def unreachable(_: str) -> bytes:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        stateful_executor().execute(request, "", unreachable)


def test_an_orchestrator_that_was_let_go_is_closed_and_its_calls_then_have_no_effect() -> None:
    closed = []

    def orchestrator(ctx: Any, name: Any) -> Any:
        try:
            yield ctx.call_activity("a")
        finally:
            ctx.call_activity("never made")
            closed.append(ctx.instance_id)

    replayer = live(orchestrator, max_instances=1)
    execute(replayer, History("orchestrator", instance_id="first"))
    assert closed == []
    response = execute(replayer, History("orchestrator", instance_id="second"))
    assert closed == ["first"]
    assert calls(response) == [(1, "scheduleTask", "a")]
    assert replayer.replay_cache_counters["evictions"] == 1


def test_a_turn_that_was_overtaken_is_not_kept() -> None:
    entered, go_on = threading.Event(), threading.Event()
    slow = [True]

    def orchestrator(ctx: Any, _: Any) -> Any:
        if slow and slow.pop():
            entered.set()
            assert go_on.wait(30)
        yield ctx.call_activity("a")

    replayer = live(orchestrator)
    history = History("orchestrator")
    overtaken = threading.Thread(target=execute, args=(replayer, history))
    overtaken.start()
    assert entered.wait(30)
    execute(replayer, history)
    go_on.set()
    overtaken.join(30)
    assert replayer.replay_cache_counters["instances"] == 1


def test_without_a_cache_nothing_is_kept() -> None:
    replayer = Replayer([three_steps])
    execute(replayer, story(0))
    execute(replayer, story(1))
    assert len(STARTS) == 2
    assert replayer.replay_cache_counters == {}
