"""What orchestrators and activities are written against.

The task classes themselves are native (`durabletask._core`); this module is where programs import
them from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

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
    Task,
    TimerTask,
    WhenAllTask,
    WhenAnyTask,
    when_all,
    when_any,
)
from durabletask._propagation import (
    HistoryPropagation,
    PropagatedHistory,
    PropagatedHistoryChunk,
)

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


class FailureDetails:
    """An exception as it travels through histories: what is left of it when its process is gone."""

    __slots__ = ("_error_type", "_inner_failure", "_message", "_stack_trace")

    def __init__(
        self,
        message: str,
        error_type: str,
        stack_trace: str | None,
        inner_failure: FailureDetails | None = None,
    ):
        self._message = message
        self._error_type = error_type
        self._stack_trace = stack_trace
        self._inner_failure = inner_failure

    @property
    def message(self) -> str:
        """What `str()` of the exception said."""
        return self._message

    @property
    def error_type(self) -> str:
        """The name of the exception's class, without its module."""
        return self._error_type

    @property
    def stack_trace(self) -> str | None:
        """Where it was raised, as text, if the worker that reported it said so."""
        return self._stack_trace

    @property
    def inner_failure(self) -> FailureDetails | None:
        """The exception it was raised from, if any."""
        return self._inner_failure

    def __repr__(self) -> str:
        return f"FailureDetails(message={self._message!r}, error_type={self._error_type!r})"


class TaskFailedError(Exception):
    """An activity or sub-orchestration failed; raised in the orchestrator that waits for it."""

    def __init__(self, message: str, details: Any):
        """`details` is a `FailureDetails`, or looks like one, or like its protobuf message."""
        super().__init__(message)
        self._details = (
            details if isinstance(details, FailureDetails) else _failure_details_of(details)
        )

    def __reduce__(self) -> tuple[type[TaskFailedError], tuple[str, FailureDetails]]:
        return type(self), (str(self), self._details)

    @property
    def details(self) -> FailureDetails:
        """What went wrong in the task."""
        return self._details


def _failure_details_of(details: Any) -> FailureDetails:
    if hasattr(details, "errorMessage"):
        stack_trace = getattr(details, "stackTrace", None)
        stack_trace = getattr(
            stack_trace, "value", stack_trace
        )  # a wrapped string, where it comes from protobuf
        return FailureDetails(details.errorMessage, details.errorType, stack_trace or None)
    return FailureDetails(
        details.message, details.error_type, getattr(details, "stack_trace", None)
    )


class NonDeterminismError(Exception):
    """The orchestrator does not do what its history records.

    Its code was changed, or depends on something that is not the same at every replay.
    """


class OrchestrationStateError(Exception):
    """The history makes no sense: an event of an unknown kind, or where it cannot be."""


class NonRetryableError(Exception):
    """Raised by an activity or a sub-orchestration when trying again is of no use.

    It ends the attempts, whatever the retry policy says.
    """


class RetryPolicy:
    """When, and how often, a failed activity or sub-orchestration is tried again."""

    def __init__(
        self,
        *,
        first_retry_interval: timedelta,
        max_number_of_attempts: int,
        backoff_coefficient: float | None = 1.0,
        max_retry_interval: timedelta | None = None,
        retry_timeout: timedelta | None = None,
        non_retryable_error_types: Sequence[str | type] | None = None,
    ):
        """Describe a policy.

        Args:
            first_retry_interval: The pause before the second attempt.
            max_number_of_attempts: The first attempt counts as one.
            backoff_coefficient: Each pause is this many times as long as the one before; None: 1.0.
            max_retry_interval: No pause is longer.
            retry_timeout: No attempt begins later than this after the first was scheduled.
            non_retryable_error_types: Exception classes, or their names, that end the attempts at
                once. `NonRetryableError` always does. The names are compared with the failure's
                `error_type`; subclasses do not match.

        Raises:
            ValueError: A number or an interval is out of range.

        """
        zero = timedelta(0)
        if first_retry_interval < zero:
            raise ValueError("first_retry_interval must be >= 0")
        if max_number_of_attempts < 1:
            raise ValueError("max_number_of_attempts must be >= 1")
        if backoff_coefficient is not None and backoff_coefficient < 1:
            raise ValueError("backoff_coefficient must be >= 1")
        if max_retry_interval is not None and max_retry_interval < zero:
            raise ValueError("max_retry_interval must be >= 0")
        if retry_timeout is not None and retry_timeout < zero:
            raise ValueError("retry_timeout must be >= 0")

        self._first_retry_interval = first_retry_interval
        self._max_number_of_attempts = max_number_of_attempts
        self._backoff_coefficient = backoff_coefficient
        self._max_retry_interval = max_retry_interval
        self._retry_timeout = retry_timeout
        self._non_retryable_error_types: set[str] | None = None
        if non_retryable_error_types:
            self._non_retryable_error_types = {
                error_type if isinstance(error_type, str) else error_type.__name__
                for error_type in non_retryable_error_types
                if error_type and isinstance(error_type, (str, type))
            }

    @property
    def first_retry_interval(self) -> timedelta:
        """The pause before the second attempt."""
        return self._first_retry_interval

    @property
    def max_number_of_attempts(self) -> int:
        """How many attempts there are at most, the first included."""
        return self._max_number_of_attempts

    @property
    def backoff_coefficient(self) -> float | None:
        """By how much each pause is longer than the one before; None: all are equal."""
        return self._backoff_coefficient

    @property
    def max_retry_interval(self) -> timedelta | None:
        """The longest pause; None: no bound."""
        return self._max_retry_interval

    @property
    def retry_timeout(self) -> timedelta | None:
        """How long after the first attempt was scheduled another may begin; None: no bound."""
        return self._retry_timeout

    @property
    def non_retryable_error_types(self) -> set[str] | None:
        """Names of exception classes that end the attempts; None: only `NonRetryableError`."""
        return self._non_retryable_error_types


def is_error_non_retryable(error_type: str, policy: RetryPolicy) -> bool:
    """Whether a failure with this `error_type` ends the attempts under `policy`."""
    if error_type == NonRetryableError.__name__:
        return True
    return (
        policy.non_retryable_error_types is not None
        and error_type in policy.non_retryable_error_types
    )


def get_name(fn: Callable[..., Any]) -> str:
    """The name that a function is registered and called under: its `__name__`.

    Raises:
        ValueError: `fn` is a lambda, which has no name of its own.

    """
    name = fn.__name__
    if name == "<lambda>":
        raise ValueError(
            "Cannot infer a name from a lambda function. Please provide a name explicitly."
        )
    return name
