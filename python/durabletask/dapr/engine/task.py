"""What is run as `dapr.ext.workflow._durabletask.task`: this package's classes under the names of Dapr's SDK."""

from __future__ import annotations

import importlib
from typing import Any

from durabletask import task as _task
from durabletask._payloads import write, write_dapr
from durabletask.dapr import _messages
from durabletask.task import (
    Activity,
    CompletableTask,
    CompositeTask,
    FailureDetails,
    NonDeterminismError,
    NonRetryableError,
    OrchestrationContext,
    OrchestrationStateError,
    Orchestrator,
    RetryableTask,
    RetryPolicy,
    Task,
    TaskFailedError,
    TimerTask,
    TInput,
    TOutput,
    WhenAllTask,
    WhenAnyTask,
    get_name,
    is_error_non_retryable,
    when_all,
    when_any,
)

__all__ = [
    "Activity",
    "ActivityContext",
    "CompletableTask",
    "CompositeTask",
    "FailureDetails",
    "NonDeterminismError",
    "NonRetryableError",
    "OrchestrationContext",
    "OrchestrationStateError",
    "Orchestrator",
    "PropagatedHistory",
    "PropagationScope",
    "RetryPolicy",
    "RetryableTask",
    "TInput",
    "TOutput",
    "Task",
    "TaskFailedError",
    "TimerTask",
    "WhenAllTask",
    "WhenAnyTask",
    "WorkflowStateError",
    "get_name",
    "is_error_non_retryable",
    "when_all",
    "when_any",
]

_propagation: Any = importlib.import_module("dapr.ext.workflow.propagation")
PropagatedHistory = _propagation.PropagatedHistory
PropagationScope = _propagation.PropagationScope

WorkflowStateError = OrchestrationStateError

_models: Any = importlib.import_module("dapr.ext.workflow._model_protocol")


def _model_form(value: Any) -> Any:
    """A model, as Dapr's SDK knows them by what they can do, is written as what it dumps."""
    return _models.dump_model(value) if _models.is_model(value) else NotImplemented


write.instead = write_dapr.writer(_model_form)


class ActivityContext(_task.ActivityContext):
    """The context of an activity, with the histories that it is shown as Dapr's SDK has them."""

    def __init__(
        self,
        orchestration_id: str,
        task_id: int,
        task_execution_id: str = "",
        propagated_history: Any = None,
    ):
        super().__init__(orchestration_id, task_id, task_execution_id)
        self._given = propagated_history

    def get_propagated_history(self) -> Any:
        """What the workflow lets the activity see of its history; None: nothing."""
        if self._given is None and self._propagated_history is not None:
            self._given = _messages.decoded_history(self._propagated_history)
        return self._given
