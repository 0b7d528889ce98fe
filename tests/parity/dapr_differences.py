"""Where this package, following Dapr's SDK, answers otherwise than the engine inside it: what explains it, or nothing.

Dapr's engine is 0.17.4's, grown further, and shares most of its mistakes; these are kept out here too. A rule looks at
the history and at both answers. It says less than a correction of 0.17.4 does, which shows that nothing else differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parity.play import comparable
from parity.world import CONTINUED

KINDS = {
    "event_without_effect": "fails for history events that need no handling",
    "task_in_composites": "refuses a task in two composites that wait, or twice in one",
    "suspension": "repeats what is confirmed while suspended, stays suspended, or loops",
    "carried_event": "drops events that are carried over, or drops or rewrites their payloads",
    "action_after_end": "asks for more beside the end",
    "stray_completion": "takes a completion for another call of the same id, or forgets one that comes before its call",
    "ended_before_history": "does not notice that changed code ends before its history does",
}
CONFIRMED = {
    "taskScheduled": "task",
    "timerCreated": "timer",
    "subOrchestrationInstanceCreated": "sub",
}
COMPLETED = {
    "taskCompleted": "task",
    "taskFailed": "task",
    "timerFired": "timer",
    "subOrchestrationInstanceCompleted": "sub",
    "subOrchestrationInstanceFailed": "sub",
}


def answer(response: bytes | None) -> Any:
    """A response without what may differ: see `parity.play.comparable`. Dapr reads routers beside actions alone."""
    message = comparable(response)
    for action in () if message is None else message.actions:
        for kind in ("scheduleTask", "createSubOrchestration"):
            if action.HasField(kind):
                getattr(action, kind).ClearField("router")
    return message


def explain(request: Any, ours: Any, theirs: Any, noted: Sequence[str]) -> str | None:
    """The kind of a difference; None if no rule knows it. `noted` is what Dapr's process tells beside its response."""
    events = [*request.pastEvents, *request.newEvents]
    said = " ".join(failure.errorMessage for failure in _failures(theirs))
    if "Don't know how to handle event of type" in said:
        return "event_without_effect"
    if noted:
        return noted[0]
    if any(event.HasField("executionSuspended") for event in events):
        return "suspension"
    if theirs is None:
        return None
    if _without_carried(ours) == _without_carried(theirs):
        return "carried_event"
    ends = [action for action in theirs.actions if action.HasField("completeOrchestration")]
    if ends and list(ours.actions) == ends:
        return "action_after_end"
    if _stray(events):
        return "stray_completion"
    if any(failure.errorType == "NonDeterminismError" for failure in _failures(ours)):
        return "ended_before_history"
    return None


def _failures(response: Any) -> list[Any]:
    return [
        action.completeOrchestration.failureDetails
        for action in (() if response is None else response.actions)
        if action.HasField("completeOrchestration")
    ]


def _without_carried(response: Any) -> Any:
    """Also without the status and the number of the end: code that was given an event after it may have gone on to set
    the one, and to count up the other, which nobody refers to.
    """
    copy = type(response)()
    copy.CopyFrom(response)
    for action in copy.actions:
        if action.HasField("completeOrchestration"):
            if action.completeOrchestration.orchestrationStatus == CONTINUED:
                copy.ClearField("customStatus")
                action.ClearField("id")
            action.completeOrchestration.ClearField("carryoverEvents")
    return copy


def _stray(events: list[Any]) -> bool:
    """Whether something completes that was not confirmed just so, or has completed before.

    Two calls under one id are what code leaves that was changed: a wait for an event less, and with it a timer that
    both engines then do without. It may have fired all the same.
    """
    open_: dict[int, tuple[str, Any]] = {}
    confirmed_before: set[int] = set()
    for event in events:
        kind = event.WhichOneof("eventType")
        body: Any = None if kind is None else getattr(event, kind)
        if kind in CONFIRMED:
            if event.eventId in confirmed_before:
                return True
            confirmed_before.add(event.eventId)
            open_[event.eventId] = CONFIRMED[kind], body
        elif kind in COMPLETED:
            action_id = body.timerId if kind == "timerFired" else body.taskScheduledId
            found: tuple[str, Any] = open_.pop(action_id, ("", None))
            asked, confirmed = found
            if asked != COMPLETED[kind]:
                return True
            if asked == "timer" and confirmed.fireAt != body.fireAt:
                return True
            if asked == "task" and confirmed.taskExecutionId != body.taskExecutionId:
                return True
    return False
