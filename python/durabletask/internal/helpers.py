"""Makes events and actions of the protocol, for programs that hand them to tests; needs protobuf."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from durabletask._protobuf import protocol


def _event(event_id: int = -1, at: datetime | None = None, **kind: Any) -> Any:
    ((field, (message, values)),) = kind.items()
    names = protocol().names
    event = names["HistoryEvent"](eventId=event_id, **{field: names[message](**values)})
    event.timestamp.SetInParent()
    if at is not None:
        event.timestamp.FromDatetime(at)
    return event


def new_timestamp(dt: datetime) -> Any:
    """A Timestamp of a UTC datetime without tzinfo."""
    made = protocol().timestamps()
    made.FromDatetime(dt)
    return made


def get_string_value(val: str | None) -> Any:
    """A wrapped text; None: no text."""
    return None if val is None else protocol().wrappers(value=val)


def is_empty(v: Any) -> bool:
    """Whether a wrapped text is missing or has no characters."""
    return v is None or v.value == ""


def get_orchestration_status_str(status: int) -> str:
    """The bare name of a status, such as COMPLETED; UNKNOWN if it has none."""
    try:
        name: str = protocol().names["OrchestrationStatus"].Name(status)
    except ValueError:
        return "UNKNOWN"
    return name.removeprefix("ORCHESTRATION_STATUS_")


def new_orchestrator_started_event(timestamp: datetime | None = None) -> Any:
    """A turn begins."""
    return _event(at=timestamp, orchestratorStarted=("OrchestratorStartedEvent", {}))


def new_execution_started_event(
    name: str, instance_id: str, encoded_input: str | None = None
) -> Any:
    """An orchestration begins."""
    instance = protocol().names["OrchestrationInstance"](instanceId=instance_id)
    values = {
        "name": name,
        "input": get_string_value(encoded_input),
        "orchestrationInstance": instance,
    }
    return _event(executionStarted=("ExecutionStartedEvent", values))


def new_timer_created_event(timer_id: int, fire_at: datetime) -> Any:
    """A timer was created."""
    return _event(timer_id, timerCreated=("TimerCreatedEvent", {"fireAt": new_timestamp(fire_at)}))


def new_timer_fired_event(timer_id: int, fire_at: datetime) -> Any:
    """A timer has fired."""
    values = {"fireAt": new_timestamp(fire_at), "timerId": timer_id}
    return _event(timerFired=("TimerFiredEvent", values))


def new_task_scheduled_event(event_id: int, name: str, encoded_input: str | None = None) -> Any:
    """An activity was scheduled."""
    values = {"name": name, "input": get_string_value(encoded_input)}
    return _event(event_id, taskScheduled=("TaskScheduledEvent", values))


def new_task_completed_event(event_id: int, encoded_output: str | None = None) -> Any:
    """An activity has completed."""
    values = {"taskScheduledId": event_id, "result": get_string_value(encoded_output)}
    return _event(taskCompleted=("TaskCompletedEvent", values))


def new_task_failed_event(event_id: int, ex: Exception) -> Any:
    """An activity has failed."""
    values = {"taskScheduledId": event_id, "failureDetails": new_failure_details(ex)}
    return _event(taskFailed=("TaskFailedEvent", values))


def new_sub_orchestration_created_event(
    event_id: int, name: str, instance_id: str, encoded_input: str | None = None
) -> Any:
    """A sub-orchestration was started."""
    values = {
        "name": name,
        "input": get_string_value(encoded_input),
        "instanceId": instance_id,
    }
    kind = ("SubOrchestrationInstanceCreatedEvent", values)
    return _event(event_id, subOrchestrationInstanceCreated=kind)


def new_sub_orchestration_completed_event(event_id: int, encoded_output: str | None = None) -> Any:
    """A sub-orchestration has completed."""
    values = {"taskScheduledId": event_id, "result": get_string_value(encoded_output)}
    kind = ("SubOrchestrationInstanceCompletedEvent", values)
    return _event(subOrchestrationInstanceCompleted=kind)


def new_sub_orchestration_failed_event(event_id: int, ex: Exception) -> Any:
    """A sub-orchestration has failed."""
    values = {"taskScheduledId": event_id, "failureDetails": new_failure_details(ex)}
    kind = ("SubOrchestrationInstanceFailedEvent", values)
    return _event(subOrchestrationInstanceFailed=kind)


def new_failure_details(ex: Exception) -> Any:
    """An exception as the protocol reports it."""
    return protocol().names["TaskFailureDetails"](
        errorType=type(ex).__name__,
        errorMessage=str(ex),
        stackTrace=get_string_value("".join(traceback.format_tb(ex.__traceback__))),
    )


def new_event_raised_event(name: str, encoded_input: str | None = None) -> Any:
    """An external event was raised."""
    values = {"name": name, "input": get_string_value(encoded_input)}
    return _event(eventRaised=("EventRaisedEvent", values))


def new_suspend_event() -> Any:
    """The orchestration was suspended."""
    return _event(executionSuspended=("ExecutionSuspendedEvent", {}))


def new_resume_event() -> Any:
    """The orchestration was resumed."""
    return _event(executionResumed=("ExecutionResumedEvent", {}))


def new_terminated_event(*, encoded_output: str | None = None) -> Any:
    """The orchestration was terminated."""
    values = {"input": get_string_value(encoded_output)}
    return _event(executionTerminated=("ExecutionTerminatedEvent", values))


def _action(id: int, router: Any = None, **kind: Any) -> Any:  # noqa: A002
    ((field, (message, values)),) = kind.items()
    names = protocol().names
    made = names[message](**values)
    return names["OrchestratorAction"](id=id, router=router, **{field: made})


def new_complete_orchestration_action(
    id: int,  # noqa: A002
    status: int,
    result: str | None = None,
    failure_details: Any = None,
    carryover_events: Sequence[Any] | None = None,
    router: Any = None,
) -> Any:
    """The orchestration ends."""
    values = {
        "orchestrationStatus": status,
        "result": get_string_value(result),
        "failureDetails": failure_details,
        "carryoverEvents": carryover_events,
    }
    return _action(id, router, completeOrchestration=("CompleteOrchestrationAction", values))


def new_orchestrator_version_not_available_action(id: int) -> Any:  # noqa: A002
    """The worker does not have the version of the orchestrator that is asked for."""
    return _action(
        id, orchestratorVersionNotAvailable=("OrchestratorVersionNotAvailableAction", {})
    )


def new_create_timer_action(id: int, fire_at: datetime) -> Any:  # noqa: A002
    """A timer is to be created."""
    return _action(id, createTimer=("CreateTimerAction", {"fireAt": new_timestamp(fire_at)}))


def new_schedule_task_action(
    id: int,  # noqa: A002
    name: str,
    encoded_input: str | None,
    router: Any = None,
    task_execution_id: str = "",
) -> Any:
    """An activity is to be run."""
    values = {
        "name": name,
        "input": get_string_value(encoded_input),
        "router": router,
        "taskExecutionId": task_execution_id,
    }
    return _action(id, router, scheduleTask=("ScheduleTaskAction", values))


def new_create_sub_orchestration_action(
    id: int,  # noqa: A002
    name: str,
    instance_id: str | None,
    encoded_input: str | None,
    router: Any = None,
) -> Any:
    """A sub-orchestration is to be started."""
    values = {
        "name": name,
        "instanceId": instance_id,
        "input": get_string_value(encoded_input),
        "router": router,
    }
    return _action(id, router, createSubOrchestration=("CreateSubOrchestrationAction", values))
