"""Messages of the sidecar protocol between bytes and Python values."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from durabletask import _core
from durabletask._client.calls import create_request
from durabletask._states import OrchestrationStatus, decode_history, decode_state, micros_of
from durabletask.internal import orchestrator_service_pb2 as pb

from support import wire
from support.fake_sidecar import activity_item, orchestrator_item

FAILURE = wire.message(
    (1, "ValueError"),
    (2, "no"),
    (3, wire.text("trace")),
    (4, wire.message((1, "KeyError"), (2, "why"), (3, wire.text("")))),
)


def state_response(*fields: tuple[int, wire.Value]) -> bytes:
    return wire.message((1, 1), (2, wire.message((1, "id"), (2, "name"), *fields)))


# Requests


def test_a_create_request_carries_all_that_was_given() -> None:
    start_at = datetime(2024, 1, 1, 1, 0, 0, 250, tzinfo=timezone(timedelta(hours=1)))
    reuse = pb.OrchestrationIdReusePolicy([pb.ORCHESTRATION_STATUS_FAILED], pb.TERMINATE)
    request = create_request("greet", {"a": 0}, "mine", start_at, reuse)
    assert wire.string(request, 1) == "mine"
    assert wire.string(request, 2) == "greet"
    assert wire.get(request, 3) == b""
    assert wire.string(request, 4, 1) == '{"a": 0}'
    assert wire.number(request, 5, 1) == 1_704_067_200
    assert wire.number(request, 5, 2) == 250_000
    assert wire.get(request, 6, 1) == b"\x03"
    assert wire.number(request, 6, 2) == pb.TERMINATE


def test_a_create_request_says_nothing_of_what_was_not_given() -> None:
    request = create_request("greet", None, "mine", None, None)
    assert wire.fields(request).keys() == {1, 2, 3}


@pytest.mark.parametrize("value", [0, "", False, [], {}])
def test_falsy_inputs_are_sent(value: Any) -> None:
    request = create_request("greet", value, "mine", None, None)
    assert wire.get(request, 4) is not None


def test_payloads_of_events_and_terminations_may_be_absent() -> None:
    assert wire.fields(_core.encode_raise_event_request("id", "event")).keys() == {1, 2}
    assert wire.string(_core.encode_raise_event_request("id", "event", "0"), 3, 1) == "0"
    terminate = _core.encode_terminate_request("id", '"out"', recursive=True)
    assert wire.string(terminate, 2, 1) == '"out"'
    assert wire.number(terminate, 3) == 1


def test_purge_says_force_only_when_asked_to() -> None:
    assert 4 not in wire.fields(_core.encode_purge_instances_request("id", recursive=True))
    forced = _core.encode_purge_instances_request("id", recursive=False, force=True)
    assert wire.fields(forced) == {1: [b"id"], 4: [1]}


def test_other_requests_have_their_fields() -> None:
    rerun = _core.encode_rerun_request(
        "id", 3, new_instance_id="n", input="1", overwrite_input=True, new_child_instance_id="c"
    )
    assert wire.fields(rerun).keys() == {1, 2, 3, 4, 5, 6}
    assert wire.fields(_core.encode_rerun_request("id", 3)).keys() == {1, 2}
    assert wire.fields(_core.encode_list_instance_ids_request("t", 5)) == {1: [b"t"], 2: [5]}
    assert wire.fields(_core.encode_get_work_items_request(2, 3, [2])) == {
        1: [2],
        2: [3],
        4: [b"\x02"],
    }
    assert wire.fields(_core.encode_get_instance_history_request("id")) == {1: [b"id"]}


def test_an_id_that_utf_8_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        _core.encode_suspend_request("\ud800")


# Responses


def test_a_state_has_what_the_sidecar_said() -> None:
    response = state_response(
        (4, 3),
        (6, wire.message((1, 1_704_067_200), (2, 123_456_789))),
        (7, wire.message((1, 1_704_067_201))),
        (8, wire.text("1")),
        (9, wire.text("")),
        (11, FAILURE),
    )
    state = decode_state("asked", response)
    assert state is not None
    assert (state.instance_id, state.name) == ("asked", "name")
    assert state.runtime_status is OrchestrationStatus.FAILED
    assert str(state.runtime_status) == "FAILED"
    assert state.created_at == datetime(2024, 1, 1, 0, 0, 0, 123_456)
    assert state.last_updated_at == datetime(2024, 1, 1, 0, 0, 1)
    assert (state.serialized_input, state.serialized_output) == ("1", None)
    assert state.failure_details is not None
    assert state.failure_details.stack_trace == "trace"
    inner = state.failure_details.inner_failure
    assert inner is not None
    assert (inner.error_type, inner.message, inner.stack_trace) == ("KeyError", "why", None)
    with pytest.raises(Exception, match="Orchestration 'asked' failed: no") as raised:
        state.raise_if_failed()
    assert raised.value.failure_details is state.failure_details  # type: ignore[attr-defined]


def test_a_state_without_failure_does_not_raise() -> None:
    state = decode_state("asked", state_response((4, 1), (11, b"")))
    assert state is not None
    assert state.failure_details is None
    state.raise_if_failed()


def test_no_instance_is_no_state() -> None:
    assert decode_state("asked", b"") is None


def test_a_history_lists_events_with_their_attributes() -> None:
    timestamp = wire.message((1, 1_704_067_200))
    scheduled = wire.message(
        (1, 4), (2, timestamp), (6, wire.message((1, "act"), (3, wire.text("1"))))
    )
    fired = wire.message((1, -1), (12, b""), (30, wire.message((1, "app"))))
    timer = wire.message((1, 5), (12, wire.message((1, timestamp), (6, wire.message((1, "x"))))))
    failed = wire.message((1, -1), (8, wire.message((1, 4), (2, FAILURE))))
    new_kind = wire.message((1, 9), (77, b"later"))
    events = decode_history(
        wire.message((1, scheduled), (1, timer), (1, failed), (1, new_kind), (1, fired))
    )
    assert [event.event_type for event in events] == [
        "taskScheduled", "timerCreated", "taskFailed", "unknown", "timerCreated",
    ]  # fmt: skip
    assert events[0].event_id == 4
    assert events[0].timestamp == datetime(2024, 1, 1)
    assert events[0].attributes == {"name": "act", "input": "1", "taskExecutionId": ""}
    assert events[1].attributes == {"fireAt": datetime(2024, 1, 1), "origin": "activityRetry"}
    assert events[2].attributes["failureDetails"].error_type == "ValueError"
    assert events[3].serialized == new_kind
    assert events[3].timestamp is None
    assert events[4].attributes == {"sourceAppID": "app"}


@pytest.mark.parametrize(
    ("decode", "name"),
    [
        (_core.decode_create_instance_response, "CreateInstanceResponse"),
        (_core.decode_get_instance_response, "GetInstanceResponse"),
        (_core.decode_purge_instances_response, "PurgeInstancesResponse"),
        (_core.decode_rerun_response, "RerunWorkflowFromEventResponse"),
        (_core.decode_list_instance_ids_response, "ListInstanceIDsResponse"),
        (_core.decode_history, "GetInstanceHistoryResponse"),
    ],
)
def test_a_malformed_response_is_named(decode: Callable[[bytes], Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"3 bytes that are no {name}"):
        decode(b"\x0a\x7fa")


# Work items


def test_an_activity_s_work_item_is_read_whole() -> None:
    item = _core.decode_work_item(activity_item("act", "1", task_id=-7, token="t"))
    assert (item.kind, item.name, item.task_id, item.input) == ("activity", "act", -7, "1")
    assert (item.instance_id, item.completion_token) == ("instance", "t")
    assert item.task_execution_id == "execution"
    assert item.problem is None


def test_no_input_and_an_empty_input_are_two_things() -> None:
    assert _core.decode_work_item(activity_item("act", None)).input is None
    assert _core.decode_work_item(activity_item("act", "")).input == ""


def test_an_activity_s_trace_and_version_are_read() -> None:
    trace = wire.message((1, "00-parent"), (3, wire.text("state")))
    request = wire.message((1, "act"), (2, wire.text("v2")), (6, trace))
    item = _core.decode_work_item(wire.message((2, request)))
    assert (item.version, item.trace_parent, item.trace_state) == ("v2", "00-parent", "state")


def test_of_an_orchestrator_s_work_item_only_the_ids_are_read() -> None:
    request = wire.message((1, "id"), (2, wire.text("run")), (3, b"no event at all"), (4, b"\xff"))
    item = _core.decode_work_item(wire.message((1, request), (10, "t")))
    assert (item.kind, item.instance_id, item.execution_id) == ("orchestrator", "id", "run")
    assert item.completion_token == "t"
    assert item.problem is None


def test_other_work_items_are_recognized_as_such() -> None:
    assert _core.decode_work_item(wire.message((4, b""))).kind == "other"
    assert _core.decode_work_item(b"").kind == "other"


def test_a_malformed_work_item_yields_what_could_be_read() -> None:
    request = wire.message((1, "act"), (4, wire.message((1, "id"))), (5, 3)) + b"\x1a\x7f"
    item = _core.decode_work_item(wire.message((10, "t"), (2, request)))
    assert (item.name, item.instance_id, item.task_id) == ("act", "id", 3)
    assert item.completion_token == "t"
    assert item.problem == "ActivityRequest: the message ends inside a field at byte 20"


def test_text_that_is_no_utf_8_is_a_problem_of_its_field() -> None:
    item = _core.decode_work_item(wire.message((2, wire.message((1, b"\xff")))))
    assert item.problem == "ActivityRequest, field 1: text at byte 4 is not UTF-8"


def test_no_bytes_break_the_reading_of_work_items() -> None:
    randomness = random.Random(1)
    seeds = [activity_item("act", "1"), orchestrator_item("orchestrate")]
    for _ in range(3_000):
        mutated = bytearray(randomness.choice(seeds))
        for _ in range(randomness.randint(1, 4)):
            mutated[randomness.randrange(len(mutated))] = randomness.randrange(256)
        item = _core.decode_work_item(bytes(mutated[: randomness.randint(0, len(mutated))]))
        assert item.kind in ("orchestrator", "activity", "other")


# Completions


def test_an_activity_s_result_may_be_absent() -> None:
    assert wire.get(_core.encode_activity_result("id", 1, "t", None), 3) is None
    assert wire.string(_core.encode_activity_result("id", 1, "t", '""'), 3, 1) == '""'


def test_a_failure_is_a_chain() -> None:
    chain = [("Outer", "a", "trace", True), ("Inner", "b", None, False)]
    response = _core.encode_activity_failure("id", 4, "t", chain)
    assert wire.string(response, 1) == "id"
    assert wire.number(response, 2) == 4
    assert wire.string(response, 4, 1) == "Outer"
    assert wire.string(response, 4, 3, 1) == "trace"
    assert wire.number(response, 4, 5) == 1
    assert wire.string(response, 4, 4, 1) == "Inner"
    assert wire.get(response, 4, 4, 3) is None
    assert wire.string(response, 5) == "t"


def test_a_failed_turn_is_one_completion_that_nobody_asked_for() -> None:
    response = _core.encode_orchestrator_failure("id", "t", [("Type", "message", None, False)])
    assert wire.string(response, 1) == "id"
    assert wire.string(response, 4) == "t"
    assert wire.number(response, 2, 1) == -1
    assert wire.number(response, 2, 6, 1) == pb.ORCHESTRATION_STATUS_FAILED
    assert wire.string(response, 2, 6, 6, 2) == "message"


def test_moments_are_counted_in_utc() -> None:
    assert micros_of(datetime(1970, 1, 1, 0, 0, 1)) == 1_000_000
    assert micros_of(datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == 0
    assert micros_of(datetime(1969, 12, 31, 23, 59, 59)) == -1_000_000
