"""What is behind an orchestration's failure is told with it; what ends the process is none of its failures."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Iterator
from typing import Any

import pytest

from durabletask import task
from durabletask._states import decode_state
from durabletask._worker.failures import failure_chain
from durabletask.client import OrchestrationFailedError
from durabletask.replay import Replayer
from durabletask.worker import ReplayCacheOptions

from support import messages
from support.history import History
from support.replaying import failure, play


def caller(ctx: Any, _: Any) -> Any:
    yield ctx.call_activity("a")


def sub_caller(ctx: Any, _: Any) -> Any:
    yield ctx.call_sub_orchestrator("sub")


def failed_activity() -> History:
    history = (
        History("caller").turn().scheduled(1, "a").turn().failed(1, "ValueError", "no such order")
    )
    details = history.request.newEvents[-1].taskFailed.failureDetails
    details.stackTrace.value = '  File "shop.py", line 3, in a\n'
    details.innerFailure.errorType = "KeyError"
    details.innerFailure.errorMessage = "'order 7'"
    return history


def test_an_activity_s_own_type_text_and_trace_are_inside_the_orchestration_s_failure() -> None:
    details = failure(play(failed_activity(), caller))
    assert details.errorType == "TaskFailedError"
    assert details.errorMessage == "abc: Activity task #1 failed: no such order", "0.17's words"
    inner = details.innerFailure
    assert (inner.errorType, inner.errorMessage) == ("ValueError", "no such order")
    assert 'File "shop.py", line 3' in inner.stackTrace.value
    assert (inner.innerFailure.errorType, inner.innerFailure.errorMessage) == (
        "KeyError",
        "'order 7'",
    )
    assert not inner.innerFailure.HasField("innerFailure")


def test_a_client_reads_it_link_by_link() -> None:
    response = messages.GetInstanceResponse(exists=True)
    response.orchestrationState.instanceId = "abc"
    response.orchestrationState.orchestrationStatus = 3
    response.orchestrationState.failureDetails.CopyFrom(failure(play(failed_activity(), caller)))
    state = decode_state("abc", response.SerializeToString())
    assert state is not None
    with pytest.raises(OrchestrationFailedError) as caught:
        state.raise_if_failed()
    types = []
    link: task.FailureDetails | None = caught.value.failure_details
    while link is not None:
        types.append(link.error_type)
        link = link.inner_failure
    assert types == ["TaskFailedError", "ValueError", "KeyError"]


def test_the_failure_of_a_sub_orchestration_brings_its_own_along() -> None:
    below = failure(play(failed_activity(), caller))
    history = History("sub_caller").turn().sub_created(1, "sub").turn()
    event = messages.SubOrchestrationInstanceFailedEvent(taskScheduledId=1, failureDetails=below)
    details = failure(play(history.add("subOrchestrationInstanceFailed", event), sub_caller))
    assert details.errorMessage == (
        "Sub-orchestration task #1 failed: abc: Activity task #1 failed: no such order"
    )
    types = []
    while True:
        types.append(details.errorType)
        if not details.HasField("innerFailure"):
            break
        details = details.innerFailure
    assert types == ["TaskFailedError", "TaskFailedError", "ValueError", "KeyError"]


def test_an_orchestrator_finds_what_is_behind_the_failure_of_a_task() -> None:
    found: list[Any] = []

    def caller(ctx: Any, _: Any) -> Any:
        try:
            yield ctx.call_activity("a")
        except task.TaskFailedError as error:
            inner: Any = error.details.inner_failure
            found.append((inner.error_type, inner.message, inner.inner_failure))

    play(failed_activity(), caller)
    assert found == [("KeyError", "'order 7'", None)]


def test_an_exception_tells_what_it_was_raised_from() -> None:
    def caller(ctx: Any, _: Any) -> Any:
        try:
            yield ctx.call_activity("a")
        except task.TaskFailedError as error:
            raise LookupError("not to be had") from error

    details = failure(play(failed_activity(), caller))
    types = [details.errorType, details.innerFailure.errorType]
    assert types == ["LookupError", "TaskFailedError"]
    assert details.innerFailure.innerFailure.errorType == "ValueError"


def test_a_chain_of_causes_ends() -> None:
    def caller(ctx: Any, _: Any) -> Any:
        error = ValueError("round")
        error.__cause__ = ValueError("and round")
        error.__cause__.__cause__ = error
        raise error

    details, links = failure(play(History("caller"), caller)), 0
    while details.HasField("innerFailure"):
        details, links = details.innerFailure, links + 1
    assert 1 <= links <= 16


def test_what_is_in_a_group_of_exceptions_is_told() -> None:
    group: Any = getattr(builtins, "ExceptionGroup", None)
    if group is None:
        pytest.skip("this Python has no exception groups")

    def caller(ctx: Any, _: Any) -> Any:
        raise group("two went wrong", [KeyError("first"), OSError("second")])

    details = failure(play(History("caller"), caller))
    assert details.errorMessage == "two went wrong (2 sub-exceptions)"
    assert "KeyError: 'first'" in details.stackTrace.value
    assert "OSError: second" in details.stackTrace.value
    assert details.innerFailure.errorType == "KeyError"


class OwnEnd(BaseException):
    """As test frameworks and schedulers define them."""


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, MemoryError, OwnEnd])
def test_what_is_about_the_process_goes_through_and_the_turn_has_no_answer(
    end: type[BaseException], warm: bool
) -> None:
    ends = True

    def caller(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")
        if ends:
            raise end("now")
        return "done"

    replayer = Replayer([caller], replay_cache=ReplayCacheOptions() if warm else None)
    history = History("caller")
    replayer.execute(history.encode())
    history.turn().request.pastEvents.append(History("x").scheduled(1, "a").request.newEvents[-1])
    history.completed(1)
    with pytest.raises(end):
        replayer.execute(history.encode())
    if warm:
        assert replayer.replay_cache_counters["instances"] == 0
    with pytest.raises(end):
        replayer.check(history.encode())
    with pytest.raises(end):
        replayer.check(history.turn().raised("other").encode())
    ends = False
    response = messages.OrchestratorResponse.FromString(replayer.execute(history.encode()))
    assert response.actions[0].completeOrchestration.result.value == '"done"'


@pytest.mark.parametrize("end", [GeneratorExit, asyncio.CancelledError])
def test_what_code_raises_to_end_itself_is_its_end(end: type[BaseException]) -> None:
    def caller(ctx: Any, _: Any) -> Any:
        raise end("enough")

    assert failure(play(History("caller"), caller)).errorType == end.__name__


def test_a_result_for_which_there_is_no_room_is_no_failure() -> None:
    class Large(dict):  # type: ignore[type-arg]
        def items(self) -> Any:
            raise MemoryError

    def caller(ctx: Any, _: Any) -> Any:
        return Large(a=1)

    with pytest.raises(MemoryError):
        play(History("caller"), caller)


def test_a_failing_turn_keeps_the_custom_status_that_was_reported_last() -> None:
    """No status in a response leaves what there is; the replay has only reached an earlier one."""

    def before(ctx: Any, _: Any) -> Any:
        ctx.set_custom_status("early")
        yield ctx.call_activity("a")
        ctx.set_custom_status("late")
        yield ctx.call_activity("b")

    def after(ctx: Any, _: Any) -> Any:
        ctx.set_custom_status("early")
        yield ctx.call_activity("changed")

    history = (
        History("before").turn().scheduled(1, "a").turn().completed(1).turn().scheduled(2, "b")
    )
    assert play(history, before).customStatus.value == "late"
    after.__name__ = "before"
    response = play(history, after)
    assert failure(response).errorType == "NonDeterminismError"
    assert not response.HasField("customStatus"), "the status would be put back"


def test_code_that_fails_anew_reports_the_status_it_has_set() -> None:
    def caller(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a")
        ctx.set_custom_status("last words")
        raise ValueError("no")

    history = History("caller").turn().scheduled(1, "a").turn().completed(1)
    response = play(history, caller)
    assert failure(response).errorType == "ValueError"
    assert response.customStatus.value == "last words"


def raising(error: Exception) -> Iterator[Any]:
    """Raises it where a generator is asked for."""
    if error:
        raise error
    yield


def test_causes_that_go_in_a_circle_are_told_once() -> None:
    def circle(ctx: Any, _: Any) -> Any:
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        yield from raising(first)

    details = failure(play(History("circle").turn(), circle))
    assert details.errorMessage == "first"
    assert details.innerFailure.errorMessage == "second"
    assert not details.innerFailure.HasField("innerFailure")


def test_texts_that_are_none_are_told_as_activities_tell_them() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise LookupError("no text")

    def silent(ctx: Any, _: Any) -> Any:
        yield from raising(Silent())

    def odd(ctx: Any, _: Any) -> Any:
        yield from raising(ValueError("a\ud800b"))

    for orchestrator, text in (
        (silent, "<str() of the exception raised LookupError>"),
        (odd, "a?b"),
    ):
        told = failure(play(History(orchestrator.__name__).turn(), orchestrator))
        assert told.errorMessage == text
        error = Silent() if orchestrator is silent else ValueError("a\ud800b")
        assert failure_chain(error)[0][1] == text, "an activity that raises the same"


def test_an_exception_that_hides_where_it_was_raised_is_told_all_the_same() -> None:
    class Hidden(Exception):
        __traceback__ = property(lambda self: 1 / 0)

    assert failure_chain(Hidden("x")) == [("Hidden", "x", "", False)]
