"""Tasks that programs make and derive from, as 0.17 let them."""

from __future__ import annotations

import abc
import gc
import weakref
from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import pytest

from durabletask import task

from support.history import History
from support.replaying import failure, output, play

T = TypeVar("T")


class AtLeast(task.CompositeTask[list[Any]]):
    """Completes with the first `count` of its tasks, as programs for 0.17 write such a class."""

    def __init__(self, count: int, tasks: list[Any]) -> None:
        self.count = count
        self.done: list[Any] = []
        super().__init__(tasks)

    def on_child_completed(self, task: task.Task[Any]) -> None:
        if task.is_failed:
            self._exception = task.get_exception()
            self._is_complete = True
        self.done.append(task)
        if len(self.done) == self.count:
            self._result = [each.get_result() for each in self.done]
            self._is_complete = True
            if self._parent is not None:
                self._parent.on_child_completed(self)


def test_tasks_can_be_derived_from_with_arguments() -> None:
    class Named(task.CompletableTask[str]):
        def __init__(self, name: str, *, size: int = 0) -> None:
            super().__init__()
            self.name = name

    made = Named("a", size=2)
    made.complete("done")
    assert (made.name, made.get_result()) == ("a", "done")

    class Mine(task.Task[int]):
        def __init__(self, number: int) -> None:
            super().__init__()

    assert not Mine(1).is_complete


def test_a_retryable_task_tells_its_next_delay() -> None:
    policy = task.RetryPolicy(
        first_retry_interval=timedelta(seconds=2),
        max_number_of_attempts=4,
        backoff_coefficient=3.0,
        max_retry_interval=timedelta(seconds=10),
    )
    made: task.RetryableTask[Any] = task.RetryableTask(policy, datetime(2026, 1, 1), False, "name")
    delays = []
    for _ in range(4):
        delays.append(made.compute_next_delay())
        made.increment_attempt_count()
    assert delays == [timedelta(seconds=2), timedelta(seconds=6), timedelta(seconds=10), None]


def test_task_is_an_abstract_base_class_of_all_tasks() -> None:
    class Abstract(task.Task[int]):
        @abc.abstractmethod
        def missing(self) -> None: ...

    class Concrete(Abstract, Generic[T]):
        def missing(self) -> None: ...

    assert isinstance(task.Task, abc.ABCMeta)
    with pytest.raises(TypeError, match="missing"):
        Abstract()  # type: ignore[abstract]
    made: list[task.Task[Any]] = [Concrete(), Concrete[int](), task.Task[str]()]
    made += [task.CompletableTask(), task.TimerTask(), task.when_all([]), task.when_any([])]
    made += [task.CompositeTask([]), AtLeast(1, [])]
    assert all(isinstance(each, task.Task) for each in made)
    assert issubclass(task.RetryableTask, task.Task)
    assert not isinstance(1, task.Task)


def test_a_task_of_an_own_class_ends_by_its_attributes() -> None:
    class Given(task.Task[int]):
        pass

    given, failed = Given(), Given()
    both, either = task.when_all([given, failed]), task.when_any([failed, given])
    with pytest.raises(AttributeError):
        _ = given._result
    assert not given._is_complete
    given._is_complete = True
    given._result = 7
    assert (given.is_complete, given.get_result(), given._result) == (True, 7, 7)
    assert either.get_result() is given
    error = ValueError("no")
    failed._exception = error
    assert failed._exception is error
    assert not both.is_complete
    failed._is_complete = True
    assert failed.is_failed
    assert both.is_failed
    with pytest.raises(ValueError, match="no"):
        both.get_result()


def test_composites_of_an_own_class_are_told_of_each_child_once() -> None:
    first: task.CompletableTask[int] = task.CompletableTask()
    second: task.CompletableTask[int] = task.CompletableTask()
    third: task.CompletableTask[int] = task.CompletableTask()
    first.complete(1)
    children = [first, task.when_any([second, third]), task.when_all([second, third])]
    composite = AtLeast(3, children)
    outer = AtLeast(1, [composite])
    around = task.when_all([outer])
    assert (composite.done, composite.get_tasks()) == ([first], children)
    second.complete(2)
    assert composite.done == children[:2]
    assert not around.is_complete
    third.complete(3)
    assert composite.done == children
    assert composite.get_result()[2] == [2, 3]
    assert around.get_result() == [[composite.get_result()]]


def test_a_composite_that_nobody_waits_for_goes() -> None:
    child: task.CompletableTask[int] = task.CompletableTask()
    composite = AtLeast(1, [child])
    gone = weakref.ref(composite)
    del composite
    gc.collect()
    assert gone() is None
    child.complete(1)


@pytest.mark.parametrize("fails", [False, True])
def test_orchestrators_wait_for_composites_of_an_own_class(fails: bool) -> None:
    def orchestrator(ctx: Any, _: Any) -> Generator[Any, Any, Any]:
        found = yield AtLeast(2, [ctx.wait_for_external_event(name) for name in "abc"])
        if fails:
            yield Broken([ctx.wait_for_external_event("d")])
        return found

    class Broken(task.CompositeTask[Any]):
        def on_child_completed(self, task: task.Task[Any]) -> None:
            raise RuntimeError("as it was told")

    history = History("orchestrator")
    for name, data in (("c", 3), ("a", 1), ("d", 4)):
        history.raised(name, data)
    response = play(history, orchestrator)
    if fails:
        assert failure(response).errorMessage == "as it was told"
    else:
        assert output(response) == "[3, 1]"


def test_a_pause_knows_what_it_is_a_pause_of() -> None:
    policy = task.RetryPolicy(first_retry_interval=timedelta(seconds=1), max_number_of_attempts=2)
    retried: task.RetryableTask[Any] = task.RetryableTask(policy, datetime(2026, 1, 1))
    pause: task.TimerTask[Any] = task.TimerTask()
    assert pause._retryable_parent is None
    pause.set_retryable_parent(retried)
    assert pause._retryable_parent is retried
