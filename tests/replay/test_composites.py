"""Many tasks, deep in one another: what they cost, and that nothing of them is kept or read that nobody needs."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from durabletask import task
from durabletask.payloads import JsonConverter
from durabletask.replay import Replayer

from support import messages
from support.history import History
from support.replaying import output, play


def nested(tasks: list[Any], combine: Callable[[list[Any]], Any]) -> Any:
    """A composite of the first task and a composite of the second task and so on."""
    outermost = tasks[-1]
    for each in reversed(tasks[:-1]):
        outermost = combine([each, outermost])
    return outermost


@pytest.mark.parametrize("depth", [201, 20_000])
def test_composites_may_stand_any_depth_in_one_another(depth: int) -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        calls = [ctx.call_activity("a") for _ in range(depth)]
        result = yield nested(calls, task.when_all)
        count = 0
        while isinstance(result, list):
            count, result = count + 1, result[1]
        first = yield nested(
            [ctx.wait_for_external_event("never")] * depth + calls[:1], task.when_any
        )
        while isinstance(first, task.WhenAnyTask):
            first = first.get_result()
        return [count, first is calls[0]]

    history = History()
    for number in range(1, depth + 1):
        history.scheduled(number, "a")
    history.turn()
    for number in range(depth, 0, -1):
        history.completed(number, number)
    assert json.loads(output(play(history, orchestrator))) == [depth - 1, True]


def test_a_failure_deep_inside_fails_the_outermost() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        calls = [ctx.call_activity("a") for _ in range(1_000)]
        outermost = nested(calls, task.when_all)
        try:
            yield outermost
        except task.TaskFailedError as error:
            return [str(error), outermost.is_failed, outermost.pending_tasks]

    history = History().failed(1_000, "ValueError", "deep")
    message, is_failed, pending = json.loads(output(play(history, orchestrator)))
    assert message.endswith("Activity task #1000 failed: deep")
    assert (is_failed, pending) == (True, 1)


def test_letting_go_of_what_stands_deep_in_one_another_is_no_recursion() -> None:
    outermost: Any = task.CompletableTask()
    for _ in range(200_000):
        outermost = task.when_any([outermost])
    del outermost


def replayed_in(history: History, orchestrator: Any) -> float:
    replayer, request = Replayer([orchestrator]), history.encode()
    best = float("inf")
    for _ in range(3):
        begun = time.thread_time()
        response = messages.OrchestratorResponse.FromString(replayer.execute(request))
        best = min(best, time.thread_time() - begun)
        assert output(response)
    return best


def test_failures_cost_the_same_however_many_others_are_waited_for() -> None:
    def orchestrator(ctx: Any, count: int) -> Any:
        failing = [ctx.call_activity("a") for _ in range(count)]
        working = [ctx.call_activity("b") for _ in range(count)]
        with_failures = task.when_all(failing)
        try:
            yield with_failures
        except task.TaskFailedError:
            results = yield task.when_all(working)
        return len(results)

    def history(count: int) -> History:
        history = History(input=count)
        for number in range(1, 2 * count + 1):
            history.scheduled(number, "a" if number <= count else "b")
        history.turn()
        for number in range(1, count + 1):
            history.failed(number)
        for number in range(count + 1, 2 * count + 1):
            history.completed(number)
        return history

    gc.collect()
    few, many = (replayed_in(history(count), orchestrator) for count in (2_000, 16_000))
    assert many < 24 * few, f"8 times the tasks took {many / few:.0f} times as long"


def test_a_task_that_is_raced_again_and_again_forgets_the_races_that_are_over() -> None:
    waiting = task.CompletableTask[Any]()
    for number in range(100_000):
        other = task.CompletableTask[Any]()
        race = task.when_any([waiting, other])
        other.complete(number)
        assert race.get_result() is other
    begun = time.thread_time()
    waiting.complete(None)
    assert time.thread_time() - begun < 0.01, "it told races that were over long ago"


def test_of_tasks_that_one_event_completes_the_first_in_the_list_wins() -> None:
    leaf = task.CompletableTask[Any]()
    first, second = task.when_all([leaf]), task.when_all([leaf])
    race, other_race = task.when_any([second, first]), task.when_any([first, second])
    leaf.complete(1)
    assert race.get_result() is second
    assert other_race.get_result() is first


class Counting(JsonConverter):
    def __init__(self) -> None:
        self.read: list[str] = []

    def from_json(self, text: str, hint: Any) -> Any:
        self.read.append(text)
        return super().from_json(text, hint)


def test_results_that_nobody_asks_for_are_not_read() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        calls = [ctx.call_activity("a") for _ in range(3)]
        winner = yield task.when_any(calls)
        yield ctx.wait_for_external_event("go")
        return winner.get_result()

    history = History().turn()
    for number in range(1, 4):
        history.completed(number, f"result {number}")
    converter = Counting()
    replayer = Replayer([orchestrator], payload_converter=converter)
    response = messages.OrchestratorResponse.FromString(
        replayer.execute(history.raised("go").encode())
    )
    assert output(response) == '"result 1"'
    assert converter.read == ['"result 1"']


def test_a_result_that_is_no_json_fails_whoever_asks_for_it() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        calls = [ctx.call_activity("a") for _ in range(2)]
        yield task.when_any(calls)
        yield ctx.wait_for_external_event("go")
        try:
            return calls[1].get_result()
        except ValueError as error:
            return type(error).__name__

    history = History().turn().completed(1, 1).completed_raw(2, "{not json").raised("go")
    assert output(play(history, orchestrator)) == '"JSONDecodeError"'
