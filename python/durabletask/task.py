"""What orchestrators and activities are written against.

The task classes themselves are native (`durabletask._core`); this module is where programs import
them from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from durabletask._contexts import (
    Activity,
    ActivityContext,
    OrchestrationContext,
    Orchestrator,
    TInput,
    TOutput,
)
from durabletask._core import (
    CompletableTask,
    CompositeTask,
    RetryableTask,
    TimerTask,
    WhenAllTask,
    WhenAnyTask,
    when_all,
    when_any,
)
from durabletask._failures import (
    FailureDetails,
    NonDeterminismError,
    NonRetryableError,
    OrchestrationStateError,
    TaskFailedError,
)
from durabletask._propagation import (
    HistoryPropagation,
    PropagatedHistory,
    PropagatedHistoryChunk,
)
from durabletask._retries import RetryPolicy, is_error_non_retryable

if TYPE_CHECKING:
    from durabletask._core import Task
else:
    from durabletask._tasks import Task

T = TypeVar("T")

__all__ = [
    "Activity",
    "ActivityContext",
    "CompletableTask",
    "CompositeTask",
    "FailureDetails",
    "HistoryPropagation",
    "NonDeterminismError",
    "NonRetryableError",
    "OrchestrationContext",
    "OrchestrationStateError",
    "Orchestrator",
    "PropagatedHistory",
    "PropagatedHistoryChunk",
    "RetryPolicy",
    "RetryableTask",
    "T",
    "TInput",
    "TOutput",
    "Task",
    "TaskFailedError",
    "TimerTask",
    "WhenAllTask",
    "WhenAnyTask",
    "get_name",
    "is_error_non_retryable",
    "when_all",
    "when_any",
]


def get_name(fn: Callable[..., Any]) -> str:
    """The name that a function is registered and called under: its `__name__`.

    Raises:
        ValueError: `fn` has no name of its own, as a lambda or a `functools.partial`.

    """
    name = getattr(fn, "__name__", None)
    if not isinstance(name, str):
        raise ValueError(
            f"Cannot infer a name from an object of type {type(fn).__name__}, which has no __name__. Please provide "
            "a name explicitly: register a function made with `def`, and call it by that or by its name as a string."
        )
    if name == "<lambda>":
        raise ValueError(
            "Cannot infer a name from a lambda function. Please provide a name explicitly."
        )
    return name
