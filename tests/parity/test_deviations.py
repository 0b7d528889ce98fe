"""Each listed deviation in a minimal program: what 0.17.4 does, and what this package does."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from parity import interpreter
from parity.deviations import KINDS
from parity.play import Play, comparable, play_together
from parity.reference import Reference
from parity.world import World

from durabletask.replay import Replayer
from durabletask.worker import ReplayCacheOptions

Data = dict[str, Any]
FAILED = {"failure": {"type": "ValueError", "message": "no", "stack": None}}


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    with Reference() as reference:
        yield reference


def activity(name: str = "a", **options: Any) -> Data:
    return {"task": "activity", "name": name, **options}


def event(name: str) -> Data:
    return {"task": "event", "name": name}


def wait(task: Data) -> Data:
    return {"do": "yield", "task": task}


def start(into: str, task: Data) -> Data:
    return {"do": "start", "into": into, "task": task}


def together(kind: str, *tasks: Data) -> Data:
    return {"task": kind, "of": list(tasks)}


def kept(name: str) -> Data:
    return {"task": "kept", "name": name}


def status(value: str) -> Data:
    return {"do": "status", "value": value}


def finish(value: Any) -> Data:
    return {"do": "return", "value": value}


def again(**options: Any) -> Data:
    return {"do": "continue_as_new", "input": 1, "save_events": True, **options}


def attempt(*body: Data, catch: list[Data]) -> Data:
    return {"do": "try", "body": list(body), "catch": catch}


def answer(action_id: int, result: str | None = "1", **options: Any) -> Data:
    return {"answer": action_id, "result": result, **options}


def fail(action_id: int) -> Data:
    return {"answer": action_id, **FAILED}


def raised(name: str, data: str | None) -> Data:
    return {"raise": name, "data": data}


SUSPEND, RESUME = {"suspend": True}, {"resume": True}
PATIENT = {"first_retry_interval": 1, "max_number_of_attempts": 3}


def program(*body: Data) -> Data:
    return {"orchestrators": [{"name": "main", "body": list(body)}]}


# kind: (program, what happens at each turn, the outcome of the last turn in 0.17.4, and here).
# An outcome is "waits", "loops", the names of actions, or how the orchestration ended and with what.
DEVIATIONS: dict[str, tuple[Data, list[list[Data]], Any, Any]] = {
    "first_task_complete": (
        program(wait(together("all")), finish("done")),
        [[]],
        "waits",
        ("COMPLETED", '"done"'),
    ),
    "first_yield_no_task": (
        program({"do": "yield_value", "value": None}),
        [[]],
        "waits",
        ("FAILED", "TypeError"),
    ),
    "failed_when_all": (
        program(
            attempt(wait(together("all", activity(), activity())), catch=[wait(activity())]),
            finish("saved"),
        ),
        [[], [fail(1)], [answer(2)], [answer(3)]],
        ("FAILED", "ValueError"),
        ("COMPLETED", '"saved"'),
    ),
    "task_in_composites": (
        program(
            start("t", activity()),
            start("first", together("all", kept("t"))),
            start("second", together("all", kept("t"))),
            wait(kept("first")),
            finish("done"),
        ),
        [[], [answer(1)]],
        "waits",
        ("COMPLETED", '"done"'),
    ),
    "completed_before_when_all": (
        program(
            start("t", activity()),
            wait(kept("t")),
            wait(together("all", kept("t"), activity())),
            finish("done"),
        ),
        [[], [answer(1)], [answer(2)]],
        "waits",
        ("COMPLETED", '"done"'),
    ),
    "retry_timeout": (
        program(wait(activity(retry={**PATIENT, "retry_timeout": 5}))),
        [[], [{"wait": 10}, fail(1)]],
        ["createTimer"],
        ("FAILED", "TaskFailedError"),
    ),
    "falsy_carried_event": (
        program(wait(event("go")), again()),
        [[raised("other", "0"), raised("go", "1")]],
        ("CONTINUED_AS_NEW", "1", [("other", None)]),
        ("CONTINUED_AS_NEW", "1", [("other", "0")]),
    ),
    "rewritten_carried_event": (
        program(wait(event("go")), again()),
        [[raised("other", "[1,2]"), raised("go", "1")]],
        ("CONTINUED_AS_NEW", "1", [("other", "[1, 2]")]),
        ("CONTINUED_AS_NEW", "1", [("other", "[1,2]")]),
    ),
    "early_completion": (
        program(wait(event("go")), wait(activity()), finish("done")),
        [[], [answer(1)], [raised("go", None)]],
        ["scheduleTask"],
        ("COMPLETED", '"done"'),
    ),
    "stale_completion": (
        program(wait(together("any", activity(), event("go"))), again()),
        [[], [raised("go", None)], [answer(1, of="before")]],
        ("CONTINUED_AS_NEW", "1"),
        ["scheduleTask"],
    ),
    "completed_retry_pause": (
        program(wait(activity(retry=PATIENT))),
        [[], [fail(1), answer(2)], [answer(2)]],
        "waits",
        ["scheduleTask"],
    ),
    "event_without_effect": (
        program(wait(activity())),
        [[], [{"marker": "orchestratorCompleted"}]],
        ("FAILED", "OrchestrationStateError"),
        "waits",
    ),
    "nested_named_fields": (
        program(finish([{"$": "pair", "left": 1, "right": 2}])),
        [[]],
        ("COMPLETED", "[[1, 2]]"),
        ("COMPLETED", '[{"left": 1, "right": 2, "__durabletask_autoobject__": true}]'),
    ),
    "action_after_end": (
        program(start("t", activity(retry=PATIENT)), wait(event("go")), finish("done")),
        [[], [raised("go", None), fail(1)]],
        ["completeOrchestration", "createTimer"],
        ("COMPLETED", '"done"'),
    ),
    "suspended_twice": (
        program(wait(event("go")), finish("done")),
        [[], [SUSPEND], [SUSPEND, raised("go", None), RESUME]],
        "loops",
        ("COMPLETED", '"done"'),
    ),
    "confirmed_while_suspended": (
        program(wait(event("go")), wait(activity())),
        [[], [raised("go", None), SUSPEND], [raised("other", None)]],
        ["scheduleTask"],
        "waits",
    ),
    "event_after_continue_as_new": (
        program(start("t", event("go")), wait(event("start")), again()),
        [[], [raised("start", None), raised("go", "7")]],
        ("CONTINUED_AS_NEW", "1"),
        ("CONTINUED_AS_NEW", "1", [("go", "7")]),
    ),
    "patch_while_suspended": (
        program(
            wait(event("go")),
            {"do": "patched", "name": "p", "then": [wait(activity("new"))], "else": []},
            wait(activity("old")),
            finish("done"),
        ),
        [[], [SUSPEND], [raised("go", None)], [RESUME], [answer(1)]],
        ("FAILED", "NonDeterminismError"),
        ["scheduleTask"],
    ),
    "ended_before_history": (
        program(wait(activity())),
        [[], [raised("other", None)]],
        "waits",
        ("FAILED", "NonDeterminismError"),
    ),
    "status_of_an_early_failure": (
        program(status("late"), wait(activity())),
        [[], [raised("other", None)]],
        ("FAILED", "NonDeterminismError", "early"),
        ("FAILED", "NonDeterminismError"),
    ),
    "unwritable_result": (
        program(finish({"$": "unwritable"})),
        [[]],
        "waits",
        ("FAILED", "TypeError"),
    ),
}
CHANGED = {
    "ended_before_history": {"1": program(finish("done"))},
    "status_of_an_early_failure": {"1": program(status("early"), wait(activity("other")))},
}
"""Code that is in force from a turn on."""


def case(kind: str) -> Data:
    """The case of a kind; turns are ten seconds apart."""
    first, happened, _, _ = DEVIATIONS[kind]
    turns = [
        {"at": number * 10_000_000, "events": [each for each in events if "wait" not in each]}
        for number, events in enumerate(happened)
    ]
    programs = {"0": first, **CHANGED.get(kind, {})}
    return {"programs": programs, "instance": "i", "app_id": "", "input": None, "turns": turns}


def outcome(response: bytes | None) -> Any:
    """A response in short: see `DEVIATIONS`."""
    message = comparable(response)
    if message is None:
        return "loops"
    names = [action.WhichOneof("orchestratorActionType") for action in message.actions]
    if names != ["completeOrchestration"]:
        return names or "waits"
    ended = message.actions[0].completeOrchestration
    ended_as = {1: "COMPLETED", 2: "CONTINUED_AS_NEW", 3: "FAILED"}[ended.orchestrationStatus]
    if ended_as == "FAILED" and message.HasField("customStatus"):
        return ended_as, ended.failureDetails.errorType, message.customStatus.value
    if ended_as == "FAILED":
        return ended_as, ended.failureDetails.errorType
    carried = [
        (each.eventRaised.name, each.eventRaised.input.value or None)
        for each in ended.carryoverEvents
    ]
    return (ended_as, ended.result.value, *([carried] if carried else []))


def test_every_listed_kind_has_a_minimal_program() -> None:
    assert set(DEVIATIONS) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_deviation_is_as_listed(reference: Reference, kind: str) -> None:
    _, _, theirs, ours = DEVIATIONS[kind]
    last: list[tuple[str, bytes]] = []
    turns = case(kind)["turns"]

    def choose(world: World) -> Any:
        return turns[world.turn] if world.turn < len(turns) else None

    playing = Watched({**case(kind), "turns": []}, choose, last)
    play_together(reference, [playing])
    assert playing.difference is None, str(playing.difference)
    assert playing.turns == len(turns), "the case ended before its last turn"

    answered, _ = reference.execute(*last[-1])
    assert outcome(answered) == theirs, "0.17.4 does something else"
    corrected, fired = reference.execute(*last[-1], {kind})
    assert outcome(corrected) == ours, "the correction makes something else of 0.17.4"
    assert kind in fired
    assert outcome(playing.engines["cold"].execute(*last[-1])) == ours
    assert set(playing.kinds) == {kind}


class Watched(Play):
    """A play that keeps what was asked."""

    def __init__(self, case: Data, choose: Any, asked: list[tuple[str, bytes]]) -> None:
        super().__init__(case, choose)
        self.asked = asked

    def prepare(self) -> tuple[str, bytes] | None:
        question = super().prepare()
        if question is not None:
            self.asked.append(question)
        return question


def test_new_input_that_has_no_json_form_fails_under_an_id_of_its_own(reference: Reference) -> None:
    """The other half of `unwritable_result`: 0.17.4 answers as if the request could not be read."""
    unwritable = program(again(input={"$": "unwritable"}))
    turns: list[Data] = [{"at": 0, "events": []}]
    playing = Play(
        {
            "programs": {"0": unwritable},
            "instance": "i",
            "app_id": "",
            "input": None,
            "turns": turns,
        }
    )
    question = playing.prepare()
    assert question is not None
    theirs, _ = reference.execute(*question)
    playing.compare(reference, question, theirs)
    ours = comparable(playing.engines["cold"].execute(*question))
    expected = comparable(theirs)
    assert expected is not None
    assert ours is not None
    assert outcome(theirs) == ("FAILED", "TypeError")
    assert (expected.actions[0].id, ours.actions[0].id) == (-1, 1)
    assert playing.difference is None, str(playing.difference)
    assert set(playing.kinds) == {"unwritable_result"}


def test_actions_that_the_past_did_not_confirm_are_sent_again_and_warned_about(
    reference: Reference, caplog: pytest.LogCaptureFixture
) -> None:
    """The one row of the table that shows in no response: 0.17.4 does not notice."""
    turns: list[Data] = [{"at": 0, "events": []}, {"at": 1, "events": [answer(2)]}]
    turns[0]["tamper"] = {"1": "dropped"}
    both = program(wait(together("all", activity("new"), activity("old"))))
    played = {"programs": {"0": both}, "instance": "i", "app_id": "", "input": None, "turns": turns}
    world = World(played)
    (_, main, _, _), *_ = interpreter.orchestrators(both)
    main.__name__ = "main"
    replayer = Replayer(orchestrators=[main])
    world.commit(comparable(replayer.execute(world.request())))

    request = world.request()
    with caplog.at_level(logging.WARNING):
        ours = replayer.execute(request)
    theirs, _ = reference.execute(json.dumps(both), request)
    assert comparable(ours) == comparable(theirs)
    assert outcome(ours) == ["scheduleTask"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_the_warm_mode_keeps_orchestrators_alive() -> None:
    """Were nothing kept, warm and cold would agree without showing anything."""
    turns: list[Data] = [{"at": 0, "events": []}, {"at": 1, "events": [answer(1)]}]
    chain = program(wait(activity()), wait(activity()))
    world = World(
        {"programs": {"0": chain}, "instance": "i", "app_id": "", "input": None, "turns": turns}
    )
    (_, main, _, _), *_ = interpreter.orchestrators(chain)
    main.__name__ = "main"
    replayer = Replayer(orchestrators=[main], replay_cache=ReplayCacheOptions())
    for _ in turns:
        world.commit(comparable(replayer.execute(world.request())))
    assert replayer.replay_cache_counters["hits"] == 1
