"""The simulated sidecar: keeps one instance's history and builds its requests from a case's turns.

A case is plain data, so that it can be saved, read and shrunk: the program, how the instance was
started, and what happened at each turn. Nothing here is random; `chance.py` makes the choices.

    {"programs": {"0": program, "3": the code from turn 3 on}, "instance": id, "app_id": text or null,
     "input": JSON text or null, "version": name or null, "turns": [
        {"at": microseconds, "events": [
            {"answer": action id, "result": JSON text or null},
            {"answer": action id, "failure": {"type": ..., "message": ..., "stack": ...}},
            {"raise": event name, "data": JSON text or null}, {"suspend": true}, {"resume": true},
            {"terminate": JSON text or null}, {"marker": name of an event that needs no handling}],
         "lost": true if the response never arrives,
         "tamper": {action id: {"name": other} or {"id": other} or "timer" or "dropped"}}]}

An answer to a timer fires it; an answer to an id that no action has is an unexpected taskCompleted, or
what `as` says. `of: "before"` says that the action is one of the generation before.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from support import messages

EPOCH = 4_102_444_800
"""Seconds: 2100-01-01. Late, since 0.17.4 compares retry timeouts with the clock on the wall."""

CONTINUED = 2
Message = Any


class World:
    """One instance, over all its generations."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.case = case
        self._programs = {int(turn): json.dumps(each) for turn, each in case["programs"].items()}
        self.turn = 0
        self.generation = 0
        self.finished = False
        self.suspended = False
        self.outstanding: dict[int, Message] = {}
        self.asked: dict[int, Message] = {}
        self.before: dict[int, Message] = {}
        self._inbox: list[Message] = []
        self._past: list[Message] = []
        self._new: list[Message] = []
        self._begin(case["input"], [])

    @property
    def program(self) -> str:
        """The code in force at this turn, as JSON."""
        return self._programs[max(turn for turn in self._programs if turn <= self.turn)]

    @property
    def started(self) -> bool:
        return bool(self._past)

    @property
    def wanted(self) -> list[str]:
        """Names of the external events that the program waits for somewhere."""
        return sorted(set(re.findall(r'"task": "event", "name": "([^"\\]+)"', self.program)))

    def _begin(self, given: str | None, carried: list[Message]) -> None:
        started = event(0)
        body = started.executionStarted
        body.name = "main"
        body.orchestrationInstance.instanceId = self.case["instance"]
        seed = f"{self.case['instance']}/{self.generation}"
        execution = str(uuid.uuid5(uuid.NAMESPACE_OID, seed))
        body.orchestrationInstance.executionId.value = execution
        if given is not None:
            body.input.value = given
        self._route(started)
        self._past, self._inbox = [], [started, *carried]
        self.before = self.asked
        self.outstanding, self.asked, self.suspended = {}, {}, False

    def request(self) -> bytes:
        """The request of this turn."""
        turn = self.case["turns"][self.turn]
        began = event(turn["at"])
        began.orchestratorStarted.SetInParent()
        if self.case.get("version") and not self._past:
            began.orchestratorStarted.version.name = self.case["version"]
        happened = [each for given in turn["events"] for each in self._event(given, turn["at"])]
        self._inbox += happened
        self._new = [began, *self._inbox]
        request = messages.OrchestratorRequest(
            instanceId=self.case["instance"], pastEvents=self._past, newEvents=self._new
        )
        encoded: bytes = request.SerializeToString()
        return encoded

    def commit(self, response: Message) -> None:
        """Take the response as a sidecar does: confirm its actions, or begin anew."""
        turn = self.case["turns"][self.turn]
        self.turn += 1
        if turn.get("lost"):
            return
        self._past += self._new
        self._inbox = []
        if response.HasField("version"):
            self._past[-len(self._new)].orchestratorStarted.version.CopyFrom(response.version)
        for each in self._new:
            self._note(each)
        for action in response.actions:
            if action.HasField("completeOrchestration"):
                self._complete(action.completeOrchestration)
                return
            self._confirm(action, turn.get("tamper", {}))

    def _note(self, applied: Message) -> None:
        if applied.HasField("executionSuspended"):
            self.suspended = True
        elif applied.HasField("executionResumed"):
            self.suspended = False

    def _complete(self, action: Message) -> None:
        if action.orchestrationStatus != CONTINUED:
            self.finished = True
            return
        self.generation += 1
        given = action.result.value if action.HasField("result") else None
        self._begin(given, list(action.carryoverEvents))

    def _confirm(self, action: Message, tampered: dict[str, Any]) -> None:
        confirmation = event(self.case["turns"][self.turn - 1]["at"], action.id)
        kind = action.WhichOneof("orchestratorActionType")
        tamper = tampered.get(str(action.id))
        if tamper == "dropped":
            return
        if kind == "createTimer" or tamper == "timer":
            confirmation.timerCreated.fireAt.CopyFrom(action.createTimer.fireAt)
        elif kind == "scheduleTask":
            scheduled, asked = confirmation.taskScheduled, action.scheduleTask
            scheduled.name, scheduled.taskExecutionId = asked.name, asked.taskExecutionId
            if asked.HasField("input"):
                scheduled.input.CopyFrom(asked.input)
        elif kind == "createSubOrchestration":
            created, asked = (
                confirmation.subOrchestrationInstanceCreated,
                action.createSubOrchestration,
            )
            created.name, created.instanceId = asked.name, asked.instanceId
            if asked.HasField("input"):
                created.input.CopyFrom(asked.input)
        else:
            # The version is not available: the instance waits for another worker.
            return
        if isinstance(tamper, dict):
            confirmation.eventId = tamper.get("id", confirmation.eventId)
            if "name" in tamper and kind != "createTimer":
                getattr(confirmation, confirmation.WhichOneof("eventType")).name = tamper["name"]
        self._route(confirmation)
        self._past.append(confirmation)
        self.outstanding[action.id] = self.asked[action.id] = action

    def _route(self, to: Message) -> None:
        if self.case["app_id"] is not None:
            to.router.sourceAppID = self.case["app_id"]

    def _event(self, given: dict[str, Any], at: int) -> list[Message]:
        made = event(at)
        if "answer" in given:
            self._answer(made, given)
        elif "raise" in given:
            made.eventRaised.name = given["raise"]
            if given["data"] is not None:
                made.eventRaised.input.value = given["data"]
        elif "suspend" in given:
            made.executionSuspended.SetInParent()
        elif "resume" in given:
            made.executionResumed.SetInParent()
        elif "terminate" in given:
            made.executionTerminated.SetInParent()
            if given["terminate"] is not None:
                made.executionTerminated.input.value = given["terminate"]
        else:
            getattr(made, given["marker"]).SetInParent()
        return [made]

    def _answer(self, made: Message, given: dict[str, Any]) -> None:
        asked = self.before if given.get("of") == "before" else self.asked
        action: Message = asked.get(given["answer"])
        kind = action and action.WhichOneof("orchestratorActionType")
        if kind == "createTimer":
            made.timerFired.timerId = given["answer"]
            made.timerFired.fireAt.CopyFrom(action.createTimer.fireAt)
            return
        if kind is None and given.get("as") == "timerFired":
            made.timerFired.timerId = given["answer"]
            made.timerFired.fireAt.seconds = EPOCH
            return
        of_activity = kind == "scheduleTask" or (kind is None and given.get("as") != "sub")
        if "failure" in given:
            failed = made.taskFailed if of_activity else made.subOrchestrationInstanceFailed
            failed.taskScheduledId = given["answer"]
            details, failure = failed.failureDetails, given["failure"]
            details.errorType, details.errorMessage = failure["type"], failure["message"]
            if failure["stack"] is not None:
                details.stackTrace.value = failure["stack"]
        else:
            done = made.taskCompleted if of_activity else made.subOrchestrationInstanceCompleted
            done.taskScheduledId = given["answer"]
            if given.get("result") is not None:
                done.result.value = given["result"]
        if kind == "scheduleTask":
            body = made.taskFailed if "failure" in given else made.taskCompleted
            body.taskExecutionId = action.scheduleTask.taskExecutionId


def event(at: int, event_id: int = -1) -> Message:
    """An event at so many microseconds after `EPOCH`."""
    made = messages.HistoryEvent(eventId=event_id)
    made.timestamp.seconds = EPOCH + at // 1_000_000
    made.timestamp.nanos = at % 1_000_000 * 1_000 + 7
    return made
