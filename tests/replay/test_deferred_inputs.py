"""Arguments of calls that the history confirms are not written again, whatever their class."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from durabletask.payloads import JsonConverter
from durabletask.replay import Replayer

from support import messages
from support.history import History
from support.replaying import calls, output, play


@dataclass
class Order:
    number: int
    items: list[str]


class Counting(JsonConverter):
    def __init__(self) -> None:
        self.written: list[Any] = []

    def to_json(self, value: Any) -> str:
        self.written.append(value)
        return super().to_json(value)


def orders(ctx: Any, count: int) -> Any:
    for number in range(count):
        yield ctx.call_activity("ship", input=Order(number, ["a"]))
    return "shipped"


def chain(count: int, steps: int) -> History:
    history = History("orders", input=count)
    for number in range(1, steps + 1):
        history.scheduled(number, "ship").turn().completed(number)
    return history


def test_only_calls_that_are_really_made_are_written() -> None:
    converter = Counting()
    replayer = Replayer([orders], payload_converter=converter)
    history = chain(count=501, steps=500)
    response = messages.OrchestratorResponse.FromString(replayer.execute(history.encode()))
    assert calls(response) == [(501, "scheduleTask", "ship")]
    assert json.loads(response.actions[0].scheduleTask.input.value)["number"] == 500
    assert [order.number for order in converter.written] == [500]


def test_a_value_that_has_no_json_form_is_refused_on_every_replay() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        for bad in (object(), Order(1, [object()]), "fine", Order(2, [])):  # type: ignore[list-item]
            try:
                yield ctx.call_activity("a", input=bad)
            except TypeError:
                ctx.set_custom_status("refused")
        return "done"

    history = History()
    assert calls(play(history, orchestrator)) == [(3, "scheduleTask", "a")]
    history.scheduled(3, "a").turn().completed(3)
    assert calls(play(history, orchestrator)) == [(4, "scheduleTask", "a")]
    history.scheduled(4, "a").turn().completed(4)
    assert output(play(history, orchestrator)) == '"done"'


def test_what_is_changed_after_a_call_that_is_really_made_does_not_travel() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        order = Order(1, ["a"])
        first = ctx.call_activity("a", input=order)
        order.items.append("b")
        yield first
        second = ctx.call_activity("b", input=order)
        order.items.append("c")
        yield second

    def items(response: Any) -> Any:
        return json.loads(response.actions[0].scheduleTask.input.value)["items"]

    history = History()
    assert items(play(history, orchestrator)) == ["a"]
    history.scheduled(1, "a").turn().completed(1)
    assert items(play(history, orchestrator)) == ["a", "b"]


def test_a_call_that_the_past_does_not_confirm_is_written_as_it_was_passed() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        order = Order(1, ["a"])
        ctx.call_activity("a", input=order)
        order.items.append("b")
        yield ctx.wait_for_external_event("never")

    response = play(History().turn().raised("other"), orchestrator)
    assert json.loads(response.actions[0].scheduleTask.input.value)["items"] == ["a"]
