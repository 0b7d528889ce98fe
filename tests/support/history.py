"""Builds orchestrator requests event by event, so that a test reads like the story it tells."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

from support import messages

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class History:
    """A history under construction: what is added lands in the new events; `turn()` makes all of it past."""

    def __init__(
        self, orchestrator: str = "orchestrator", input: Any = None, *, instance_id: str = "abc"
    ) -> None:
        self.request = messages.OrchestratorRequest(instanceId=instance_id)
        self.now = START
        self.turn()
        started = messages.ExecutionStartedEvent(name=orchestrator)
        started.orchestrationInstance.instanceId = instance_id
        _set(started.input, input)
        self.add("executionStarted", started)

    def add(self, kind: str, body: Any = None, *, event_id: int = -1) -> History:
        """Any event; `kind` is its field in HistoryEvent."""
        event = self.request.newEvents.add(eventId=event_id)
        event.timestamp.FromDatetime(self.now)
        if body is None:
            getattr(event, kind).SetInParent()
        else:
            getattr(event, kind).CopyFrom(body)
        return self

    def turn(
        self, *, seconds: float = 1.0, patches: tuple[str, ...] = (), version: str = ""
    ) -> History:
        """All that was new becomes past, and a new turn begins some time later."""
        self.request.pastEvents.extend(self.request.newEvents)
        del self.request.newEvents[:]
        self.now += timedelta(seconds=seconds)
        started = messages.OrchestratorStartedEvent()
        started.version.patches.extend(patches)
        if version:
            started.version.name = version
        return self.add("orchestratorStarted", started)

    def confirm(self, response: Any) -> History:
        """What a sidecar writes when it has carried out the actions of a response."""
        for action in response.actions:
            kind = action.WhichOneof("orchestratorActionType")
            if kind == "scheduleTask":
                self.scheduled(action.id, action.scheduleTask.name)
            elif kind == "createTimer":
                self.timer_created(action.id)
            elif kind == "createSubOrchestration":
                self.sub_created(action.id, action.createSubOrchestration.name)
            elif kind == "sendEvent":
                self.event_sent(action.id, action.sendEvent.name)
        return self

    def scheduled(self, task_id: int, name: str, *, execution_id: str = "") -> History:
        event = messages.TaskScheduledEvent(name=name, taskExecutionId=execution_id)
        return self.add("taskScheduled", event, event_id=task_id)

    def completed(self, task_id: int, result: Any = None, *, execution_id: str = "") -> History:
        event = messages.TaskCompletedEvent(taskScheduledId=task_id, taskExecutionId=execution_id)
        _set(event.result, result)
        return self.add("taskCompleted", event)

    def completed_raw(self, task_id: int, payload: str) -> History:
        event = messages.TaskCompletedEvent(taskScheduledId=task_id)
        event.result.value = payload
        return self.add("taskCompleted", event)

    def failed(
        self, task_id: int, error_type: str = "ValueError", message: str = "boom"
    ) -> History:
        return self.add(
            "taskFailed", _failure(messages.TaskFailedEvent, task_id, error_type, message)
        )

    def sub_created(self, task_id: int, name: str) -> History:
        event = messages.SubOrchestrationInstanceCreatedEvent(name=name)
        return self.add("subOrchestrationInstanceCreated", event, event_id=task_id)

    def sub_completed(self, task_id: int, result: Any = None) -> History:
        event = messages.SubOrchestrationInstanceCompletedEvent(taskScheduledId=task_id)
        _set(event.result, result)
        return self.add("subOrchestrationInstanceCompleted", event)

    def sub_failed(
        self, task_id: int, error_type: str = "ValueError", message: str = "boom"
    ) -> History:
        event = _failure(messages.SubOrchestrationInstanceFailedEvent, task_id, error_type, message)
        return self.add("subOrchestrationInstanceFailed", event)

    def timer_created(self, timer_id: int, *, fire_at: datetime | None = None) -> History:
        event = messages.TimerCreatedEvent()
        if fire_at is not None:
            event.fireAt.FromDatetime(fire_at)
        return self.add("timerCreated", event, event_id=timer_id)

    def timer_fired(self, timer_id: int, *, fire_at: datetime | None = None) -> History:
        event = messages.TimerFiredEvent(timerId=timer_id)
        if fire_at is not None:
            event.fireAt.FromDatetime(fire_at)
        return self.add("timerFired", event)

    def event_sent(self, action_id: int, name: str) -> History:
        return self.add("eventSent", messages.EventSentEvent(name=name), event_id=action_id)

    def raised(self, name: str, data: Any = None) -> History:
        event = messages.EventRaisedEvent(name=name)
        _set(event.input, data)
        return self.add("eventRaised", event)

    def terminated(self, output: Any = None) -> History:
        event = messages.ExecutionTerminatedEvent()
        _set(event.input, output)
        return self.add("executionTerminated", event)

    def encode(self) -> bytes:
        encoded: bytes = self.request.SerializeToString()
        return encoded


def _set(value: Any, data: Any) -> None:
    if data is not None:
        value.value = json.dumps(data)


def _failure(kind: Any, task_id: int, error_type: str, message: str) -> Any:
    event = kind(taskScheduledId=task_id)
    event.failureDetails.errorType = error_type
    event.failureDetails.errorMessage = message
    return event
