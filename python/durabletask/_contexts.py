"""The contexts that orchestrators and activities are handed; public through `durabletask.task`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, overload

from durabletask._propagation import (
    HistoryPropagation,
    PropagatedHistory,
    decode_propagated_history,
)
from durabletask._replay_safe_logger import ReplaySafeLogger
from durabletask._retries import RetryPolicy
from durabletask.deterministic import DeterministicContextMixin

if TYPE_CHECKING:
    import logging

    from durabletask._core import Task

TInput = TypeVar("TInput")
TOutput = TypeVar("TOutput")


class OrchestrationContext(DeterministicContextMixin, ABC):
    """An orchestrator's only door to the world.

    Whatever an orchestrator learns, it must learn here or from its input: it is run again from its
    history, and has to take the same way again. Besides the methods below it has the helpers of
    `durabletask.deterministic`.
    """

    @property
    @abstractmethod
    def instance_id(self) -> str:
        """The id of this orchestration: chosen by whoever started it, or generated."""

    @property
    @abstractmethod
    def current_utc_datetime(self) -> datetime:
        """When the sidecar began this turn: UTC, without tzinfo, the same on every replay."""

    @property
    @abstractmethod
    def is_replaying(self) -> bool:
        """True while the orchestrator only repeats what its history already holds.

        For side effects that should happen once, such as log lines. Control flow must not depend on
        it.
        """

    @abstractmethod
    def set_custom_status(self, custom_status: str) -> None:
        """Publish a text that clients find as `OrchestrationState.serialized_custom_status`.

        It is sent with the end of the turn, and stays until it is replaced. Anything but a string
        is encoded as JSON, with a DeprecationWarning.
        """

    @abstractmethod
    def create_timer(self, fire_at: datetime | timedelta) -> Task[Any]:
        """A task that completes at a point in time (UTC), or after a delay.

        A delay is counted from `current_utc_datetime`.
        The timer lives in the sidecar: it outlasts this process, and may be months away.
        """

    @overload
    def call_activity(
        self,
        activity: Callable[[ActivityContext, TInput], Coroutine[Any, Any, TOutput]],
        *,
        input: TInput | None = None,
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: HistoryPropagation | None = None,
        timeout: timedelta | None = None,
    ) -> Task[TOutput]: ...
    @overload
    def call_activity(
        self,
        activity: Callable[[ActivityContext, TInput], TOutput],
        *,
        input: TInput | None = None,
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: HistoryPropagation | None = None,
        timeout: timedelta | None = None,
    ) -> Task[TOutput]: ...
    @overload
    def call_activity(
        self,
        activity: str,
        *,
        input: Any | None = None,
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: HistoryPropagation | None = None,
        timeout: timedelta | None = None,
    ) -> Task[Any]: ...
    @abstractmethod
    def call_activity(
        self,
        activity: Activity[Any, Any] | str,
        *,
        input: Any = None,  # noqa: A002
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: HistoryPropagation | None = None,
        timeout: timedelta | None = None,
    ) -> Task[Any]:
        """Schedule an activity.

        Args:
            activity: The function, or the name it is registered under.
            input: A value that can be written as JSON.
            retry_policy: When and how often to try again after a failure; None: never.
            app_id: The application whose worker shall run it; None: this one.
            propagation: How much history the activity is shown, which finds it with
                `get_propagated_history()`; None: what the sidecar does by default, which is none of
                it. Needs Dapr 1.18.
            timeout: How long the activity may take, the time that it waits for a worker included;
                with a retry policy, each attempt. None: for ever. It is a durable timer, and the
                first of both decides; an activity that is running is not stopped, and what it
                returns later is ignored.

        Returns:
            A task with the activity's result. If the activity fails for good, it fails with
            `TaskFailedError`; if the last attempt took too long, with `TimeoutError`.

        Raises:
            ValueError: `activity` is a lambda, which has no name, or `timeout` is not positive.
            TypeError: `input` cannot be written as JSON, or `timeout` is no timedelta.

        """

    @overload
    def call_sub_orchestrator(
        self,
        orchestrator: Callable[[OrchestrationContext, TInput], Generator[Task[Any], Any, TOutput]],
        *,
        input: TInput | None = None,
        instance_id: str | None = None,
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: HistoryPropagation | None = None,
        timeout: timedelta | None = None,
    ) -> Task[TOutput]: ...
    @overload
    def call_sub_orchestrator(
        self,
        orchestrator: Callable[[OrchestrationContext, TInput], Coroutine[Any, Any, TOutput]],
        *,
        input: TInput | None = None,
        instance_id: str | None = None,
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: HistoryPropagation | None = None,
        timeout: timedelta | None = None,
    ) -> Task[TOutput]: ...
    @overload
    def call_sub_orchestrator(
        self,
        orchestrator: Callable[[OrchestrationContext, TInput], TOutput],
        *,
        input: TInput | None = None,
        instance_id: str | None = None,
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: HistoryPropagation | None = None,
        timeout: timedelta | None = None,
    ) -> Task[TOutput]: ...
    @overload
    def call_sub_orchestrator(
        self,
        orchestrator: str,
        *,
        input: Any | None = None,
        instance_id: str | None = None,
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: HistoryPropagation | None = None,
        timeout: timedelta | None = None,
    ) -> Task[Any]: ...
    @abstractmethod
    def call_sub_orchestrator(
        self,
        orchestrator: Orchestrator[Any, Any] | str,
        *,
        input: Any = None,  # noqa: A002
        instance_id: str | None = None,
        retry_policy: RetryPolicy | None = None,
        app_id: str | None = None,
        propagation: HistoryPropagation | None = None,
        timeout: timedelta | None = None,
    ) -> Task[Any]:
        """Start another orchestration and wait for its result.

        Args:
            orchestrator: The function, or the name it is registered under.
            input: A value that can be written as JSON.
            instance_id: The id to give it; None: one derived from this orchestration's id.
            retry_policy: When and how often to start it again after a failure; None: never.
            app_id: The application whose worker shall run it; None: this one.
            propagation: How much history it is shown, which it finds with
                `get_propagated_history()`; None: what the sidecar does by default, which is none of
                it. Needs Dapr 1.18.
            timeout: How long it may take, as of `call_activity`. One that takes longer goes on;
                what it returns is ignored.

        Returns:
            A task with its result. If it fails for good, the task fails with `TaskFailedError`; if
            the last attempt took too long, with `TimeoutError`.

        Raises:
            ValueError: `orchestrator` is a lambda, which has no name, or `timeout` is not positive.
            TypeError: `input` cannot be written as JSON, or `timeout` is no timedelta.

        """

    @abstractmethod
    def wait_for_external_event(
        self, name: str, *, timeout: datetime | timedelta | None = None
    ) -> Task[Any]:
        """A task that completes with the payload of the next event of this name.

        Names are compared without regard to case. Events that arrive before anyone waits are kept,
        first in, first out.

        Args:
            name: The event's name.
            timeout: How long to wait, from `current_utc_datetime`, or until when (UTC); None: for
                ever. The wait is bounded by a durable timer, so it may be as long as one. If no
                time is left, there is no timer, and only an event that has arrived already counts.

        Returns:
            The task. It fails with the builtin `TimeoutError` if the event does not come in time.

        Raises:
            TypeError: `timeout` is neither.
            OverflowError: It ends outside the years 1 to 9999.

        """

    def send_event(self, instance_id: str, name: str, *, data: Any = None) -> None:
        """Raise an external event on another orchestration, and go on.

        It is sent at the end of the turn, also if the orchestration ends or continues as new there.
        Nobody is told whether the other orchestration exists: whoever needs an answer has to be
        sent one.

        durabletask-go drops what is sent in a turn that continues as new: there, wait for something
        in between. Dapr up to 1.18 does not take turns that send events, and tries each of them for
        ever: there, raise events from an activity, by a client.

        Args:
            instance_id: The other orchestration.
            name: The event's name, which is compared without regard to case.
            data: Its payload, a value that can be written as JSON.

        Raises:
            TypeError: `data` cannot be written as JSON.
            ValueError: `instance_id` is empty.

        """
        raise NotImplementedError(f"{type(self).__name__} sends no events")

    def get_propagated_history(self) -> PropagatedHistory | None:
        """What this orchestration's parent lets it see of its history; None: nothing.

        See `propagation` of `call_sub_orchestrator`.
        """
        return None

    def create_replay_safe_logger(
        self, logger: logging.Logger | logging.LoggerAdapter[Any]
    ) -> logging.LoggerAdapter[Any]:
        """A logger that hands everything on to `logger`, and is silent while replaying.

        So each line is logged once, however often the orchestrator is replayed; after a crash in
        the middle of a turn, once more.
        """
        return ReplaySafeLogger(logger, self)

    @abstractmethod
    def continue_as_new(self, new_input: Any, *, save_events: bool = False) -> None:
        """Begin anew, under the same instance id, with an empty history.

        For orchestrations that would otherwise run, and grow, for ever. Tasks that have not
        completed are given up.

        Args:
            new_input: The input of the next execution.
            save_events: Whether events that nobody has waited for yet are handed on to it.

        """

    @abstractmethod
    def is_patched(self, patch_name: str) -> bool:
        """Whether this execution takes the new branch of a change to the orchestrator's code.

        True for executions that reach this call for the first time now, or did so with the change
        in place; False for those that passed it before the change existed. The answer is kept in
        the history.
        """


class ActivityContext:
    """Tells an activity for whom it runs."""

    def __init__(self, orchestration_id: str, task_id: int, task_execution_id: str = ""):
        self._orchestration_id = orchestration_id
        self._task_id = task_id
        self._task_execution_id = task_execution_id
        self._propagated_history: bytes | None = None

    @property
    def orchestration_id(self) -> str:
        """The id of the orchestration that called the activity."""
        return self._orchestration_id

    @property
    def task_id(self) -> int:
        """The number of the call within one execution; each retry has a number of its own."""
        return self._task_id

    @property
    def task_execution_id(self) -> str:
        """A UUID of the call that all its retries share: an idempotency key.

        Empty if the sidecar is too old to send it.
        """
        return self._task_execution_id

    def get_propagated_history(self) -> PropagatedHistory | None:
        """What the orchestration lets this activity see of its history; None: nothing.

        See `propagation` of `OrchestrationContext.call_activity`.
        """
        if self._propagated_history is None:
            return None
        return decode_propagated_history(self._propagated_history)


# An orchestrator yields or awaits tasks and ends with its result; one that needs no task may simply
# return.
Orchestrator = Callable[
    [OrchestrationContext, TInput],
    "Generator[Task[Any], Any, TOutput] | Coroutine[Any, Any, TOutput] | TOutput",
]

# An activity is a function, or a coroutine function, that does the work an orchestrator must not do
# itself.
Activity = Callable[[ActivityContext, TInput], "Coroutine[Any, Any, TOutput] | TOutput"]
