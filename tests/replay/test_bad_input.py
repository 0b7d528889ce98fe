"""Whatever is wrong with a request or an orchestrator is said in the response; nothing is raised."""

from __future__ import annotations

from typing import Any

import pytest

from durabletask.replay import Replayer

from support import messages
from support.history import History
from support.replaying import calls, completion, failure, output, play


def orchestrator(ctx: Any, _: Any) -> Any:
    return (yield ctx.call_activity("a"))


def answer(request: bytes) -> Any:
    return messages.OrchestratorResponse.FromString(Replayer([orchestrator]).execute(request))


@pytest.mark.parametrize(
    ("request_bytes", "reason"),
    [
        (b"\xff\xff\xff", "ends inside a field at byte 3"),
        (b"\x0a\x03abc\x22\x7f\x08", "ends inside a field at byte 7"),
        (b"\x0b", "wire type 3"),
        (b"\x0a\x01\xff", "not UTF-8"),
    ],
)
def test_a_request_that_can_not_be_read_is_answered_with_a_failure_that_says_where(
    request_bytes: bytes, reason: str
) -> None:
    response = answer(request_bytes)
    assert [action.id for action in response.actions] == [-1]
    assert reason in failure(response).errorMessage


def test_a_broken_event_deep_in_the_history_names_its_byte() -> None:
    request = messages.OrchestratorRequest(instanceId="abc")
    request.pastEvents.add(eventId=-1).orchestratorStarted.SetInParent()
    broken = request.SerializeToString() + b"\x22\x04\x32\x02\x0a\x7f"
    response = answer(broken)
    assert response.instanceId == "abc"
    assert [action.id for action in response.actions] == [-1]
    assert f"byte {len(broken) - 1 + 1}" in failure(response).errorMessage


def test_a_request_without_new_events_is_answered_with_a_failure() -> None:
    response = answer(messages.OrchestratorRequest(instanceId="abc").SerializeToString())
    assert [action.id for action in response.actions] == [-1]
    assert failure(response).errorType == "OrchestrationStateError"


def test_an_unknown_event_is_named_by_its_field_number() -> None:
    history = History("orchestrator")
    request = history.encode() + messages.OrchestratorRequest().SerializeToString()
    unknown = (
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + b"\xba\x06\x00"
    )  # eventId = -1, field 103
    details = failure(answer(request + b"\x22" + bytes([len(unknown)]) + unknown))
    assert details.errorType == "OrchestrationStateError"
    assert "field 103" in details.errorMessage


@pytest.mark.parametrize(
    "kind",
    ["orchestratorCompleted", "executionCompleted", "eventSent", "continueAsNew", "executionStalled",
     "detachedOrchestrationInstanceCreated"],
)  # fmt: skip
def test_events_of_the_sidecars_own_have_no_effect(kind: str) -> None:
    history = History().add(kind).turn().scheduled(1, "a").turn().add(kind).completed(1, "done")
    assert output(play(history, orchestrator)) == '"done"'


def test_an_unregistered_orchestrator_fails() -> None:
    details = failure(play(History("missing"), orchestrator))
    assert details.errorType == "OrchestratorNotRegisteredError"
    assert details.errorMessage == "A 'missing' orchestrator was not registered."


def test_a_payload_that_is_no_json_fails_the_orchestration() -> None:
    history = History().turn().scheduled(1, "a").turn().completed_raw(1, "{not json")
    assert failure(play(history, orchestrator)).errorType == "JSONDecodeError"


def test_a_result_that_can_not_be_encoded_fails_the_orchestration() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")
        return object()

    history = History().turn().scheduled(1, "a").turn().completed(1)
    assert failure(play(history, orchestrator)).errorType == "TypeError"


def test_an_exception_carries_the_users_source_line() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")
        raise KeyError("lost")

    details = failure(play(History().turn().scheduled(1, "a").turn().completed(1), orchestrator))
    assert details.errorType == "KeyError"
    assert 'raise KeyError("lost")' in details.stackTrace.value
    assert __file__ in details.stackTrace.value


@pytest.mark.parametrize(
    ("story", "expected", "found"),
    [
        (History().turn().scheduled(1, "b").turn(), "call_activity('b')", "call_activity('a')"),
        (History().turn().timer_created(1).turn(), "create_timer", "call_activity('a')"),
        (
            History().turn().sub_created(1, "a").turn(),
            "call_sub_orchestrator('a')",
            "call_activity('a')",
        ),
        (
            History().turn().scheduled(1, "a").scheduled(2, "a").turn(),
            "call_activity('a')",
            "no call with this ID",
        ),
    ],
)
def test_code_that_does_not_fit_its_history_is_told_what_differs(
    story: History, expected: str, found: str
) -> None:
    details = failure(play(story, orchestrator))
    assert details.errorType == "NonDeterminismError"
    assert expected in details.errorMessage
    assert found in details.errorMessage
    assert "abc" in details.errorMessage


def test_calls_that_the_past_should_have_confirmed_are_made_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        ctx.call_activity("added later")
        yield ctx.wait_for_external_event("go")

    response = play(History().turn().raised("other"), orchestrator)
    assert calls(response) == [(1, "scheduleTask", "added later")]
    assert "added later" in caplog.text


def test_nothing_else_is_asked_for_once_the_orchestration_has_ended() -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")
        yield ctx.call_activity("b")

    history = History().turn().scheduled(1, "a").turn().terminated("enough").completed(1)
    assert completion(play(history, orchestrator)).result.value == '"enough"'
