"""Running activities: payload in, payload out."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any

from durabletask import task
from durabletask._worker.inputs import Inputs
from durabletask._worker.registry import ActivityNotRegisteredError, Registry
from durabletask._worker.typed import prepared
from durabletask.internal import shared

if TYPE_CHECKING:
    from durabletask.payloads import PayloadConverter


class ActivityExecutor:
    """Calls the activities of a registry with decoded inputs, and encodes what they return.

    `converter` does both if it is given; else inputs are `typed` or not, as `Inputs` has it.
    `context_class` is asked for the class of their contexts each time: packages put one of their own in its place.
    """

    def __init__(
        self,
        registry: Registry,
        logger: logging.Logger,
        converter: PayloadConverter | None = None,
        typed: bool = False,
        context_class: Callable[[], Any] = lambda: task.ActivityContext,
    ):
        self._context_class = context_class
        self._registry = registry
        self._logger = logger
        self._converter = converter
        self._inputs = Inputs(converter, typed)
        # Of which function each was found out; packages may exchange one for another.
        self._asynchronous: dict[str, tuple[Any, bool]] = {}

    def execute(
        self,
        orchestration_id: str,
        name: str,
        task_id: int,
        encoded_input: str | None,
        task_execution_id: str = "",
    ) -> str | None:
        """Run a synchronous activity; its JSON-encoded result, or None if there is none.

        Raises:
            ActivityNotRegisteredError: There is no activity of this name.
            Exception: Whatever the activity raises.
        """
        result = self.call(orchestration_id, name, task_id, encoded_input, task_execution_id)
        if is_awaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise TypeError(f"The activity '{name}' is asynchronous; it needs an event loop")
        return self.encode(name, result)

    def has(self, name: str) -> bool:
        """Whether there is an activity of this name."""
        return self._registry.get_activity(name) is not None

    def are_mixed(self) -> bool:
        """Whether there are coroutine functions among the activities, and others."""
        return len({self.is_async(name) for name in self._registry.activities}) == 2

    def is_async(self, name: str) -> bool:
        """Whether an activity is a coroutine function, which needs no thread."""
        fn = self._registry.get_activity(name)
        if fn is None:
            return False
        known = self._asynchronous.get(name)
        if known is None or known[0] is not fn:
            known = self._asynchronous[name] = fn, _is_coroutine_function(fn)
        return known[1]

    def call(
        self,
        orchestration_id: str,
        name: str,
        task_id: int,
        encoded_input: str | None,
        task_execution_id: str,
        propagated_history: bytes | None = None,
    ) -> Any | Awaitable[Any]:
        """Call an activity: its result, or an awaitable of it."""
        fn: Any = self._registry.get_activity(name)
        if fn is None:
            raise ActivityNotRegisteredError(
                f"Activity function named '{name}' was not registered!"
            )
        self._logger.debug("%s/%d: Executing activity '%s'...", orchestration_id, task_id, name)
        activity_input = self._decode(name, fn, encoded_input) if encoded_input else None
        context = self._context_class()(orchestration_id, task_id, task_execution_id)
        if propagated_history is not None:
            # Not an argument, since packages put classes of their own in the context's place.
            context._propagated_history = propagated_history
        return fn(context, activity_input)

    def encode(self, name: str, result: Any) -> str | None:
        """The JSON of what the activity `name` returned."""
        if result is None:
            return None
        try:
            if self._converter is not None:
                result = prepared(self._converter, result)
            return shared.to_json(result)
        except (TypeError, ValueError) as error:
            message = f"The result of activity '{name}' cannot be written as JSON: {error}"
            raise type(error)(message) from error

    def _decode(self, name: str, fn: Any, encoded_input: str) -> Any:
        try:
            return self._inputs.read(fn, encoded_input)
        except JSONDecodeError as error:
            raise ValueError(f"The input of activity '{name}' is no JSON: {error}") from error


# What activities return most often. To ask whether anything else can be awaited takes longer than all else here.
_NEVER_AWAITABLE = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict})


def is_awaitable(result: Any) -> bool:
    """Whether what an activity returned is still to be awaited."""
    return type(result) not in _NEVER_AWAITABLE and inspect.isawaitable(result)


def _is_coroutine_function(fn: Any) -> bool:
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(
        getattr(type(fn), "__call__", None)  # noqa: B004 - asks what it is, not whether
    )
