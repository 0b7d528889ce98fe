"""The corrections of 0.17.4's when_all and when_any: composites that ask their children how they are.

0.17.4's children tell the composite that was made of them last, once, and its when_all fails in three
ways of its own. These composites look at the order in which their children completed.
"""

from __future__ import annotations

import importlib
import itertools
from typing import Any

task: Any = importlib.import_module("durabletask.task")

KINDS = {"failed_when_all", "task_in_composites", "completed_before_when_all"}
fired: set[str] = set()
"""Kinds of deviations, these and others, whose correction has changed something."""

_stamps = itertools.count(1)
_original_complete = task.CompletableTask.complete
_original_fail = task.CompletableTask.fail


def took_effect(kind: str) -> None:
    fired.add(kind)


def _complete(self: Any, result: Any) -> None:
    _note_composites(self)
    _original_complete(self, result)
    self.stamp = next(_stamps)


def _fail(self: Any, message: str, details: Any) -> None:
    _note_composites(self)
    if any(isinstance(each, WhenAll) for each in getattr(self, "parents", ())):
        took_effect("failed_when_all")
    _original_fail(self, message, details)
    self.stamp = next(_stamps)


def _note_composites(child: Any) -> None:
    """Say so if more than one composite has to be told of this completion, or one that has failed."""
    parents: list[Any] = getattr(child, "parents", [])
    waiting = [each for each in parents if not each.is_complete]
    if any(each is not parents[-1] for each in waiting) or len(waiting) > 1:
        took_effect("task_in_composites")
    if any(isinstance(each, WhenAll) and each.is_failed for each in parents):
        took_effect("failed_when_all")
    for each in waiting[:1]:
        _note_composites(each)


def _stamp_of(child: Any) -> int | None:
    found: int | None = getattr(child, "stamp", None)
    return found


class Composite(task.CompositeTask):  # type: ignore[misc]
    """Asks its children when it is asked, in place of being told by them."""

    def __init__(self, tasks: Any) -> None:
        task.Task.__init__(self)
        self._tasks = tasks
        for child in tasks:
            child.parents = [*getattr(child, "parents", ()), self]

    def on_child_completed(self, child: Any) -> None:
        """Nothing: see above."""

    @property
    def is_complete(self) -> bool:
        return self.stamp is not None

    @property
    def stamp(self) -> int | None:
        raise NotImplementedError

    def get_result(self) -> Any:
        if not self.is_complete:
            raise ValueError("The task has not completed.")
        if self.is_failed:
            raise self.get_exception()
        return self.outcome()

    def outcome(self) -> Any:
        raise NotImplementedError


class WhenAll(Composite):
    def __init__(self, tasks: Any) -> None:
        super().__init__(tasks)
        complete = [child.is_complete for child in tasks]
        if any(complete) and not all(complete):
            took_effect("completed_before_when_all")
        if any(child.is_failed for child in tasks):
            took_effect("failed_when_all")

    def failed_child(self) -> Any:
        failed = [
            (_stamp_of(child), index) for index, child in enumerate(self._tasks) if child.is_failed
        ]
        return self._tasks[min(failed)[1]] if failed else None

    @property
    def stamp(self) -> int | None:
        failed = self.failed_child()
        if failed is not None:
            took_effect("failed_when_all")
            return _stamp_of(failed)
        stamps = [_stamp_of(child) for child in self._tasks]
        known = [stamp for stamp in stamps if stamp is not None]
        return max(known, default=0) if len(known) == len(stamps) else None

    @property
    def is_failed(self) -> bool:
        return self.failed_child() is not None

    def get_exception(self) -> Any:
        return self.failed_child().get_exception()

    def outcome(self) -> Any:
        return [child.get_result() for child in self._tasks]


class WhenAny(Composite):
    def __init__(self, tasks: Any) -> None:
        super().__init__(tasks)
        self.known = next((child for child in tasks if child.is_complete), None)

    def winner(self) -> Any:
        if self.known is None:
            stamps = [(_stamp_of(child), index) for index, child in enumerate(self._tasks)]
            known = [(stamp, index) for stamp, index in stamps if stamp is not None]
            return self._tasks[min(known)[1]] if known else None
        return self.known

    @property
    def stamp(self) -> int | None:
        if not self._tasks:
            return 0
        winner = self.winner()
        return None if winner is None else _stamp_of(winner)

    def outcome(self) -> Any:
        return self.winner() if self._tasks else []


CHANGES: list[tuple[Any, str, Any]] = [
    (task, "WhenAllTask", WhenAll),
    (task, "WhenAnyTask", WhenAny),
    (task.CompletableTask, "complete", _complete),
    (task.CompletableTask, "fail", _fail),
]
"""What to put in place of what: owner, name, value."""
