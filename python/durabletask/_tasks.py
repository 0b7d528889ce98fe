"""The base of all tasks as an abstract base class, which native classes can not be."""

from __future__ import annotations

from abc import ABC
from typing import Any, Generic, TypeVar

from durabletask import _core

T = TypeVar("T")


class Task(_core.Task, ABC, Generic[T]):  # type: ignore[type-arg]
    """Something that an orchestrator can wait for with `yield` or `await`.

    The engine's own tasks are instances, and so are those of classes that programs derive. Such a class says how it has
    ended by `_result`, or `_exception`, and then `_is_complete = True`.
    """

    __slots__ = ()
    __module__ = "durabletask.task"

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        missing = getattr(cls, "__abstractmethods__", None)
        if missing:
            names = ", ".join(sorted(missing))
            raise TypeError(
                f"Can't instantiate abstract class {cls.__name__} with abstract methods {names}"
            )
        return super().__new__(cls)


Task.register(_core.CompletableTask)
Task.register(_core.CompositeTask)
