"""`Replayer.check`: whether recorded histories still replay with today's code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from durabletask.replay import (
    CheckStatus,
    HistoryFormatError,
    Replayer,
    export_history,
    history_bytes,
)
from durabletask.worker import TaskHubGrpcWorker

from recordings import scenarios
from support import messages
from support.history import History
from support.turns import read_turns, recorded_scenarios

OK, PARTED, FAILED, UNREADABLE = CheckStatus


def stored(story: History) -> bytes:
    """What a sidecar's GetInstanceHistory returns once the story's last turn is committed."""
    response = messages.GetInstanceHistoryResponse()
    response.events.extend(story.request.pastEvents)
    response.events.extend(story.request.newEvents)
    encoded: bytes = response.SerializeToString()
    return encoded


def ended(story: History, event_id: int, status: str = "COMPLETED", **failure: str) -> History:
    event = messages.ExecutionCompletedEvent()
    numbers = {"COMPLETED": 1, "CONTINUED_AS_NEW": 2, "FAILED": 3, "TERMINATED": 5}
    event.orchestrationStatus = numbers[status]
    for name, value in failure.items():
        setattr(event.failureDetails, name, value)
    return story.add("executionCompleted", event, event_id=event_id)


def running() -> History:
    return History("chain").scheduled(1, "a").turn().completed(1).scheduled(2, "b")


def finished() -> History:
    return ended(running().turn().completed(2), 3)


def chain(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    yield ctx.call_activity("b")


def named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    function.__name__ = name
    return function


# --- real histories


def recorded_histories() -> Iterator[tuple[str, bytes, Any, bool]]:
    """Every turn, and every history that was stored between two turns, of the recordings."""
    for path in recorded_scenarios():
        for number, turn in enumerate(read_turns(path)):
            item = messages.WorkItem.FromString(turn.work_item)
            yield f"{path.stem} turn {number}", turn.work_item, path, _fails(turn.response)
            if item.orchestratorRequest.pastEvents:
                history = messages.GetInstanceHistoryResponse(
                    events=item.orchestratorRequest.pastEvents
                )
                yield f"{path.stem} before turn {number}", history.SerializeToString(), path, False


def _fails(response: bytes) -> bool:
    actions = messages.OrchestratorResponse.FromString(response).actions
    return any(action.completeOrchestration.orchestrationStatus == 3 for action in actions)


def test_every_recorded_turn_and_history_replays() -> None:
    replayers: dict[Path, Replayer] = {}
    checked = 0
    for what, history, path, fails in recorded_histories():
        if path not in replayers:
            orchestrators, _ = scenarios.SCENARIOS[path.stem.split("-")[-1]]
            replayers[path] = Replayer(orchestrators)
        result = replayers[path].check(history)
        expected = FAILED if fails else OK
        assert result.status is expected, f"{what}: {result.message}"
        checked += 1
    assert checked > 300, "the recordings hold more turns than that"


# --- ends


@pytest.mark.parametrize("story", [running, finished], ids=lambda story: story.__name__)
def test_code_that_was_not_changed_is_ok(story: Callable[[], History]) -> None:
    result = Replayer([chain]).check(stored(story()))
    assert result.ok, result.message
    assert (result.message, result.instance_id, result.name) == ("", "abc", "chain")
    assert result.events == len(story().request.pastEvents) + len(story().request.newEvents)


def test_a_recorded_turn_is_open_after_its_new_events() -> None:
    story = History("chain").scheduled(1, "a").turn().completed(1)
    assert Replayer([chain]).check(story.encode()).ok
    item = messages.WorkItem(orchestratorRequest=story.request, completionToken="token")
    assert Replayer([chain]).check(item.SerializeToString()).ok


def test_a_suspended_execution_is_ok() -> None:
    story = History("chain").scheduled(1, "a").turn().add("executionSuspended").completed(1)
    assert Replayer([chain]).check(stored(story)).ok
    story.turn().add("executionResumed").scheduled(2, "b")
    assert Replayer([chain]).check(stored(story)).ok


def test_a_terminated_execution_is_ok() -> None:
    story = ended(running().turn().terminated("enough"), 3, "TERMINATED")
    assert Replayer([chain]).check(stored(story)).ok


def test_an_execution_that_continued_as_new_is_ok() -> None:
    def again(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")
        ctx.continue_as_new(1)

    story = ended(History("again").scheduled(1, "a").turn().completed(1), 2, "CONTINUED_AS_NEW")
    assert Replayer([again]).check(stored(story)).ok


def test_a_failure_that_the_history_knows_is_ok() -> None:
    def fails(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")
        raise ValueError("no stock")

    story = History("fails").scheduled(1, "a").turn().completed(1)
    history = stored(ended(story, 2, "FAILED", errorType="ValueError", errorMessage="no stock"))
    assert Replayer([fails]).check(history).ok

    def fails_differently(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")
        raise KeyError("stock")

    result = Replayer([named("fails", fails_differently)]).check(history)
    assert result.status is FAILED
    assert "ends with ValueError: no stock, with KeyError: 'stock'" in result.message
    assert 'raise KeyError("stock")' in result.message, "the message holds the traceback"


def test_a_failure_that_the_history_does_not_know_is_failed() -> None:
    def buggy(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")
        raise RuntimeError("a bug")

    result = Replayer([named("chain", buggy)]).check(stored(running()))
    assert (result.status, result.event_index) == (FAILED, 4)
    assert "RuntimeError: a bug" in result.message


def test_an_orchestrator_that_is_not_registered_is_failed() -> None:
    result = Replayer([named("other", chain_copy())]).check(stored(running()))
    assert result.status is FAILED
    assert "A 'chain' orchestrator was not registered." in result.message


def test_a_version_that_is_not_registered_is_failed() -> None:
    worker = TaskHubGrpcWorker()
    worker._registry.add_named_orchestrator("chain", chain, "v1", is_latest=True)
    story = History("chain").turn(version="v2")
    story.request.pastEvents.insert(0, story.request.newEvents[0])
    result = Replayer.from_worker(worker).check(stored(story))
    assert result.status is FAILED
    assert (
        "version 'v2' of 'chain', which the history asks for, is not registered" in result.message
    )


def test_a_turn_that_stalled_is_passed_over_as_it_was_played_again() -> None:
    story = History("chain").add("executionStalled").turn().scheduled(1, "a")
    assert Replayer([chain]).check(stored(story)).ok


def chain_copy() -> Callable[..., Any]:
    def copy(ctx: Any, value: Any) -> Any:
        return (yield from chain(ctx, value))

    return copy


# --- changes


def adds_in_the_middle(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    yield ctx.call_activity("new")
    yield ctx.call_activity("b")


def adds_unawaited(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")
    yield ctx.call_activity("b")
    ctx.call_activity("new")
    yield ctx.wait_for_external_event("go")


def adds_beside_the_first(ctx: Any, _: Any) -> Any:
    first = ctx.call_activity("a")
    second = ctx.call_activity("b")
    yield first
    yield second


def adds_at_the_end(ctx: Any, _: Any) -> Any:
    yield from chain(ctx, _)
    yield ctx.call_activity("new")


def removes_the_last(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")


def removes_all(ctx: Any, _: Any) -> Any:
    return None


def waits_longer(ctx: Any, _: Any) -> Any:
    yield from chain(ctx, _)
    yield ctx.wait_for_external_event("go")


@pytest.mark.parametrize(
    ("code", "index", "text"),
    [
        (adds_in_the_middle, 5, "called call_activity('new') instead"),
        (adds_unawaited, 8, "goes on"),
        (adds_beside_the_first, 3, "called call_activity('b') with ID=2, which a previous"),
        (adds_at_the_end, 8, "ended as COMPLETED, but the current code goes on"),
        (removes_the_last, 5, "went on with taskScheduled (ID=2), but the current code has ended"),
        (removes_all, 2, "went on with taskScheduled (ID=1), but the current code has ended"),
        (waits_longer, 8, "ended as COMPLETED, but the current code goes on"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_change_is_non_deterministic(code: Callable[..., Any], index: int, text: str) -> None:
    def orchestrator(ctx: Any, value: Any) -> Any:
        return code(ctx, value)

    result = Replayer([named("chain", orchestrator)]).check(stored(finished()))
    assert result.status is PARTED, result.message
    assert result.event_index == index, result.message
    assert text in result.message
    assert result.message.startswith("abc: history and code disagree")


def test_a_call_at_the_end_of_a_running_history_should_have_been_confirmed() -> None:
    def adds(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")
        ctx.create_timer(ctx.current_utc_datetime)  # added
        yield ctx.call_activity("b")

    story = History("chain").scheduled(1, "a").turn().completed(1)
    result = Replayer([named("chain", adds)]).check(stored(story))
    assert result.status is PARTED
    assert "after the turn that ends with event 4" in result.message
    assert "create_timer with ID=2, call_activity('b') with ID=3" in result.message
    assert result.event_id == 2
    call, stands = result.message.splitlines()[1:]
    assert call.startswith("  the call was made at ")
    assert call.endswith("in adds: ctx.create_timer(ctx.current_utc_datetime)  # added")
    assert stands.startswith("  the orchestrator stands at ")
    assert stands.endswith('in adds: yield ctx.call_activity("b")')


def test_a_history_that_goes_on_after_the_code_has_ended_is_non_deterministic() -> None:
    def short(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")

    story = History("chain").scheduled(1, "a").turn().completed(1).turn().raised("go")
    result = Replayer([named("chain", short)]).check(stored(story))
    assert result.status is PARTED
    assert result.message.endswith(
        "the turn that ends with event 4: a previous execution had not ended by then, but the current code has ended."
    )


# --- forms


def test_an_export_round_trips_byte_for_byte_and_is_checked_in_every_form(tmp_path: Path) -> None:
    history = stored(finished())
    exported = export_history("abc", history)
    text = json.dumps(exported, indent=1)
    assert history_bytes(json.loads(text)) == history
    assert (exported["format"], exported["version"]) == ("durabletask-history", 1)
    assert (exported["instance_id"], exported["name"]) == ("abc", "chain")
    assert exported["exported_at"]
    assert exported["sdk_version"]
    assert [event["type"] for event in exported["events"]][:2] == [
        "orchestratorStarted",
        "executionStarted",
    ]
    file = tmp_path / "history.json"
    file.write_text(text)
    binary = tmp_path / "history.pb"
    binary.write_bytes(history)
    for form in (history, text, text.encode(), exported, file, binary):
        assert Replayer([chain]).check(form).ok


def test_an_export_keeps_what_it_does_not_know() -> None:
    history = stored(running()) + b"\x7a\x03new"  # field 15
    assert history_bytes(export_history("abc", history)) == history
    assert Replayer([chain]).check(export_history("abc", history)).ok


def test_an_export_of_what_has_not_begun_is_ok() -> None:
    assert Replayer([chain]).check(export_history("abc", b"")).ok


def test_every_truncation_names_the_byte_or_is_a_shorter_history() -> None:
    history = stored(running())
    replayer = Replayer([chain])
    errors: dict[int, HistoryFormatError] = {}
    for length in range(len(history)):
        try:
            replayer.check(history[:length])
        except HistoryFormatError as error:
            errors[length] = error
    assert len(errors) > len(history) * 0.9, "only cuts between two events leave a history"
    for length, refused in errors.items():
        assert refused.offset is not None
        assert refused.offset <= length
        assert f"byte {refused.offset}: " in str(refused)


@pytest.mark.parametrize(
    ("data", "offset", "problem"),
    [
        (b"", 0, "it is empty"),
        (b"\x89PNG\r\n\x1a\n", 2, "it ends inside a field"),
        (b"GIF89a", 1, "unknown wire type 7"),
        (b"\x0a\x02\x08\x01", 2, "event 0 has no type"),
        (b"\x0a\x05\x08\x01\xba\x06\x00", 2, "does not know (field 103 of HistoryEvent)"),
        (b"\x0a\x04\x08\x01\x72\x00", 0, "none of the 1 events is the executionStarted"),
        (b"\x12\x02\x0a\x00", 0, "asks for no orchestrator's turn"),
        ('{"é": ', 7, "no JSON"),
        (b'{"format": "other"}', 0, "\"format\" is 'other'"),
        ('{"format": "durabletask-history", "version": 9}', 0, "version 9"),
        ('{"format": "durabletask-history", "version": 1}', 0, 'no list of "events"'),
        (b"\xef\xbb\xbf[]", 0, "no object but a list"),
        (
            '{"format": "durabletask-history", "version": 1, "events": [{"data": "??"}]}',
            69,
            "the data of event 0 is no base64",
        ),
        ("histories/one.json", 0, "a file is given as a pathlib.Path"),
    ],
)
def test_what_is_no_history_is_refused_with_the_byte(
    data: bytes | str, offset: int, problem: str
) -> None:
    with pytest.raises(HistoryFormatError) as raised:
        Replayer([chain]).check(data)
    assert problem in str(raised.value)
    assert raised.value.offset == offset
    assert "durabletask history export" in str(raised.value), "it says what was expected"


def test_a_turn_that_leaves_out_its_past_is_refused() -> None:
    request = messages.OrchestratorRequest(instanceId="abc")
    request.CopyFrom(running().request)
    request.cachedHistory.eventCount = 12
    with pytest.raises(HistoryFormatError, match="leaves out 12 past events"):
        Replayer([chain]).check(request.SerializeToString())


def test_what_has_no_form_of_a_history_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="not int"):
        Replayer([chain]).check(1)  # type: ignore[arg-type]


def test_many_are_checked_whatever_becomes_of_one(tmp_path: Path) -> None:
    good, broken = tmp_path / "good.pb", tmp_path / "broken.pb"
    good.write_bytes(stored(running()))
    broken.write_bytes(stored(running())[:-1])
    missing = tmp_path / "missing.pb"
    report = Replayer([chain]).check_all([broken, missing, good, stored(finished())])
    assert [result.status for result in report.results] == [UNREADABLE, UNREADABLE, OK, OK]
    assert not report.ok
    assert str(broken) in report.bad[0].message
    assert "byte " in report.bad[0].message
    assert "No such file" in report.bad[1].message
    with pytest.raises(AssertionError, match="2 of 4 histories do not replay"):
        report.raise_for_status()
    Replayer([chain]).check_all([good]).raise_for_status()
