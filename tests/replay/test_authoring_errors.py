"""Mistakes that are easily made say what to do instead."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest

from durabletask import _core, task
from durabletask.worker import _Registry, _RuntimeOrchestrationContext

from support.history import History
from support.replaying import failure, play


def failed_with(orchestrator: Callable[..., Any]) -> str:
    """The text that a first turn fails with."""
    orchestrator.__name__ = "orchestrator"
    return str(failure(play(History("orchestrator"), orchestrator)).errorMessage)


def test_a_task_that_is_returned_is_told_with_the_line() -> None:
    def forgets(ctx: Any, _: Any) -> Any:
        if ctx.instance_id != "abc":
            yield ctx.create_timer(timedelta(1))
        return {"result": [ctx.call_activity("a")]}

    message = failed_with(forgets)
    assert message.startswith("Object of type CompletableTask is not JSON serializable: ")
    assert "yield" in message
    assert "return {" in message
    assert f"{__file__}:" in message


def test_a_task_that_a_plain_function_returns_is_told_with_the_function() -> None:
    def plain(ctx: Any, _: Any) -> Any:
        return ctx.call_activity("a")

    message = failed_with(plain)
    assert "it is a task" in message
    assert "def plain(ctx: Any" in message


@pytest.mark.parametrize(
    "value",
    [lambda it: it, lambda it: [it], lambda it: {"key": (1, it)}],
    ids=["task", "list", "dict"],
)
def test_a_task_in_an_input_is_told(value: Callable[[Any], Any]) -> None:
    def forgets(ctx: Any, _: Any) -> Any:
        number = ctx.call_activity("a")
        yield ctx.call_activity("b", input=value(number))

    assert "`result = yield task`" in failed_with(forgets)


async def sleeps(ctx: Any, _: Any) -> None:
    await asyncio.sleep(1)


async def sleeps_for_nothing(ctx: Any, _: Any) -> None:
    await asyncio.sleep(0)


def yields_nothing(ctx: Any, _: Any) -> Any:
    yield


@pytest.mark.parametrize("orchestrator", [sleeps, sleeps_for_nothing, yields_nothing])
def test_asyncio_in_an_orchestrator_is_told_what_there_is_instead(
    orchestrator: Callable[..., Any],
) -> None:
    assert "create_timer" in failed_with(orchestrator)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_gathering_with_asyncio_is_told_what_there_is_instead() -> None:
    async def gathers(ctx: Any, _: Any) -> None:
        await asyncio.gather(ctx.call_activity("a"), ctx.call_activity("b"))

    assert "when_all" in failed_with(gathers)


def test_a_list_of_tasks_is_told_to_be_waited_for_with_when_all() -> None:
    def lists(ctx: Any, _: Any) -> Any:
        yield [ctx.call_activity("a")]

    message = failed_with(lists)
    assert "when_all" in message
    assert "yield [ctx.call_activity" in message, "the line is not said"


@pytest.mark.parametrize(
    "call",
    [
        lambda ctx: ctx.wait_for_external_event(42),
        lambda ctx: ctx.send_event("other", 42),
        lambda ctx: ctx.send_event(42, "event"),
    ],
    ids=["wait", "send", "instance"],
)
def test_a_name_that_is_no_text_is_told(call: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"must be a string, found 42 \(int\)"):
        call(_RuntimeOrchestrationContext("abc"))


@pytest.mark.parametrize("name", ["first_retry_interval", "max_retry_interval", "retry_timeout"])
def test_an_interval_that_is_a_number_is_told_how_to_be_written(name: str) -> None:
    arguments: dict[str, Any] = {"first_retry_interval": timedelta(1), "max_number_of_attempts": 2}
    with pytest.raises(TypeError, match=f"{name} must be a datetime.timedelta, found 5"):
        task.RetryPolicy(**{**arguments, name: 5})
    with pytest.raises(ValueError, match="backoff_coefficient must be >= 1"):
        task.RetryPolicy(**arguments, backoff_coefficient=float("nan"))


def two(ctx: Any, value: Any) -> None: ...


def one(ctx: Any) -> None: ...


def three(ctx: Any, value: Any, more: Any) -> None: ...


def keyword_only(ctx: Any, *, value: Any = None) -> None: ...


def adapted(*arguments: Any) -> None: ...


functools.update_wrapper(adapted, one)


def defaults(ctx: Any, value: Any = None, more: Any = None, *rest: Any, **named: Any) -> None: ...


@pytest.mark.parametrize("add", ["add_orchestrator", "add_activity"])
def test_what_can_not_be_called_with_two_arguments_is_refused(add: str) -> None:
    refused: list[Any] = [one, three, keyword_only]
    taken: list[Any] = [two, adapted, defaults]
    for fn in refused:
        with pytest.raises(
            TypeError, match=rf"'{fn.__name__}' is called with two arguments.*found"
        ):
            getattr(_Registry(), add)(fn)
    for fn in taken:
        getattr(_Registry(), add)(fn)


@pytest.mark.parametrize("add", ["add_orchestrator", "add_activity"])
def test_what_has_no_name_is_told_that_it_needs_one(add: str) -> None:
    for fn in (functools.partial(two), mock.Mock()):
        with pytest.raises(ValueError, match=f"type {type(fn).__name__}, which has no __name__"):
            getattr(_Registry(), add)(fn)
    with pytest.raises(ValueError, match="from a lambda function"):
        getattr(_Registry(), add)(lambda ctx, _: None)


def test_a_task_says_what_it_waits_for() -> None:
    ctx = _RuntimeOrchestrationContext("abc")
    policy = task.RetryPolicy(first_retry_interval=timedelta(1), max_number_of_attempts=2)
    activity = ctx.call_activity(two)
    sub = ctx.call_sub_orchestrator("child", retry_policy=policy)
    timer = ctx.create_timer(timedelta(seconds=5))
    event = ctx.wait_for_external_event("Go")
    assert repr(activity) == "<CompletableTask call_activity('two') with ID=1: pending>"
    assert repr(sub) == "<RetryableTask call_sub_orchestrator('child') with ID=2: pending>"
    assert repr(timer).startswith("<TimerTask create_timer, until ")
    assert repr(timer).endswith(" UTC, with ID=3: pending>")
    assert repr(event) == "<CompletableTask wait_for_external_event('Go'): pending>"
    everything = task.when_all([activity, sub, event, ctx.call_activity("more")])
    assert repr(everything) == (
        "<WhenAllTask of 4 tasks, 4 pending: call_activity('two') with ID=1; "
        "call_sub_orchestrator('child') with ID=2; wait_for_external_event('Go'); …: pending>"
    )
    first = task.when_any([everything, event])
    assert repr(first).startswith("<WhenAnyTask of 2 tasks, 2 pending: of 4 tasks; wait_for")
    own: task.CompletableTask[int] = task.CompletableTask()
    assert repr(own) == "<CompletableTask: pending>"
    own.complete(1)
    assert repr(own) == "<CompletableTask: completed>"
    failed: task.CompletableTask[int] = task.CompletableTask()
    failed.fail("no", task.FailureDetails("no", "ValueError", None))
    assert repr(failed) == "<CompletableTask: failed>"


def test_the_context_in_use_documents_its_methods() -> None:
    public = [name for name in dir(task.OrchestrationContext) if not name.startswith("_")]
    undocumented = [
        name for name in public if not inspect.getdoc(getattr(_RuntimeOrchestrationContext, name))
    ]
    assert undocumented == []
    text = inspect.getdoc(_RuntimeOrchestrationContext.call_activity)
    assert text is not None
    assert "retry_policy" in text


def test_every_native_class_and_its_methods_are_documented() -> None:
    classes = [it for it in vars(_core).values() if inspect.isclass(it)]
    assert _core.Executor in classes
    undocumented = [it.__name__ for it in classes if not it.__doc__]
    for it in classes:
        for name, member in vars(it).items():
            if not name.startswith("_") and not inspect.getdoc(member):
                undocumented.append(f"{it.__name__}.{name}")
    assert undocumented == []
