"""Failures as orchestrators see them; public through `durabletask.task`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durabletask import _core

# Under this name programs know what is here, and tracebacks and pickles shall say it.
_PUBLIC = "durabletask.task"


class FailureDetails:
    """An exception as it travels through histories: what is left of it when its process is gone."""

    __module__ = _PUBLIC

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

    __module__ = _PUBLIC

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

    __module__ = _PUBLIC


class OrchestrationStateError(Exception):
    """The history makes no sense: an event of an unknown kind, or where it cannot be."""

    __module__ = _PUBLIC


class NonRetryableError(Exception):
    """Raised by an activity or a sub-orchestration when trying again is of no use.

    It ends the attempts, whatever the retry policy says.
    """

    __module__ = _PUBLIC


def failure_of(failure: _core.Failure) -> FailureDetails:
    """A failure as the native module hands it out, with those it came from."""
    message, error_type, stack_trace, inner = failure
    return FailureDetails(
        message, error_type, stack_trace, None if inner is None else failure_of(inner)
    )
