"""Corrections of 0.17.4, one for each kind of deviation. Runs where 0.17.4 is installed, only there.

`corrected(kinds)` puts them in place for the length of a block and tells which of them took effect.
What is not corrected stays the code of 0.17.4.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from parity import corrected_composites
from parity.corrected_composites import fired, took_effect
from parity.corrected_ends import EndingContext
from parity.deviations import KINDS

worker: Any = importlib.import_module("durabletask.worker")
task: Any = importlib.import_module("durabletask.task")
shared: Any = importlib.import_module("durabletask.internal.shared")

WITHOUT_EFFECT = {
    "orchestratorCompleted",
    "executionCompleted",
    "executionStalled",
    "continueAsNew",
    "eventSent",
    "executionResumed",
    # Field 31, which 0.17.4's messages do not have.
    None,
}
CONFIRMATIONS = {"taskScheduled", "timerCreated", "subOrchestrationInstanceCreated"}
COMPLETIONS = {
    "taskCompleted": "taskScheduledId",
    "taskFailed": "taskScheduledId",
    "subOrchestrationInstanceCompleted": "taskScheduledId",
    "subOrchestrationInstanceFailed": "taskScheduledId",
    "timerFired": "timerId",
}

LOOP_LIMIT = 10_000
"""So many events held back in one turn are a loop."""

active: set[str] = set()
_original_to_json = shared.to_json
_original_delay = task.RetryableTask.compute_next_delay


@contextlib.contextmanager
def corrected(kinds: set[str]) -> Iterator[set[str]]:
    """Run the block with these corrections; the set yielded fills with those that took effect."""
    unknown = kinds - set(KINDS)
    assert not unknown, f"no such kinds of deviation: {unknown}"
    changes: list[tuple[Any, str, Any]] = [(worker, "_RuntimeOrchestrationContext", Context)]
    if kinds & corrected_composites.KINDS:
        changes += corrected_composites.CHANGES
    if "nested_named_fields" in kinds:
        changes.append((shared, "to_json", _to_json))
    if "retry_timeout" in kinds:
        changes.append((task.RetryableTask, "compute_next_delay", _compute_next_delay))
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    active.update(kinds)
    fired.clear()
    for owner, name, value in changes:
        setattr(owner, name, value)
    try:
        yield fired
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
        active.clear()
        Context.current = None


class LoopsForEverError(BaseException):
    """The turn does not end. No `except Exception` of 0.17.4 catches it."""


class HeldEvents(list[Any]):
    """The events held back during a suspension; 0.17.4 can append to them while it walks over them."""

    def append(self, event: Any) -> None:
        super().append(event)
        if len(self) > LOOP_LIMIT:
            raise LoopsForEverError


class Plain(worker._OrchestrationExecutor):  # type: ignore[misc]
    """0.17.4's executor, which notices when it loops for ever; nothing else is changed."""

    @property
    def _suspended_events(self) -> HeldEvents:
        return self._held

    @_suspended_events.setter
    def _suspended_events(self, events: list[Any]) -> None:
        self._held = HeldEvents(events)


class Executor(Plain):
    """The executor, with the corrections of what events do."""

    _is_suspended: bool

    def __init__(self, registry: Any, logger: Any) -> None:
        super().__init__(registry, logger)
        self.early: dict[int, list[Any]] = {}
        self.confirmed: dict[int, Any] = {}

    def process_event(self, ctx: Any, event: Any) -> None:
        kind = event.WhichOneof("eventType")
        if "suspended_twice" in active and kind == "executionSuspended" and self._is_suspended:
            took_effect("suspended_twice")
            return
        held = self._is_suspended and kind not in ("executionResumed", "executionTerminated")
        if held and kind == "orchestratorStarted" and "patch_while_suspended" in active:
            for patch in event.orchestratorStarted.version.patches:
                took_effect("patch_while_suspended")
                ctx._history_patches[patch] = True
        if held and kind in CONFIRMATIONS and "confirmed_while_suspended" in active:
            took_effect("confirmed_while_suspended")
            self._is_suspended = False
            try:
                self.process_event(ctx, event)
            finally:
                self._is_suspended = True
            return
        if held or (kind == "executionResumed" and self._is_suspended):
            super().process_event(ctx, event)
            return
        if "event_without_effect" in active and kind in WITHOUT_EFFECT:
            if kind != "executionStalled":
                took_effect("event_without_effect")
            return
        if "ended_before_history" in active and kind in CONFIRMATIONS and ctx._is_complete:
            took_effect("ended_before_history")
            ctx.go_on(event)
            return
        if kind in CONFIRMATIONS:
            self.confirmed[event.eventId] = event
        if kind in COMPLETIONS:
            action_id = getattr(getattr(event, kind), COMPLETIONS[kind])
            pending = ctx._pending_tasks.get(action_id)
            pause = pending is not None and pending._retryable_parent is not None
            ends_pause = pause and kind != "timerFired"
            if "stale_completion" in active and pending is not None and not ends_pause:
                call = self.confirmed.get(action_id) or ctx._pending_actions.get(action_id)
                if call is not None and not _belongs(call, event):
                    took_effect("stale_completion")
                    return
            if "completed_retry_pause" in active and ends_pause:
                took_effect("completed_retry_pause")
                return
            if isinstance(pending, task.RetryableTask):
                pending.last_failure = _failure(ctx, event)
                if kind.endswith("Failed") and _expired(pending):
                    ctx.given_up.append(pending)
            if "retry_timeout" in active and pause and _expired(pending._retryable_parent):
                took_effect("retry_timeout")
                ctx._pending_tasks.pop(action_id)
                self.give_up(ctx, pending._retryable_parent)
                return
            early = action_id > ctx._sequence_number and pending is None
            if "early_completion" in active and early:
                self.early.setdefault(action_id, []).append(event)
        if kind == "eventRaised":
            name = event.eventRaised.name.casefold()
            carried = ctx._save_events and "event_after_continue_as_new" in active
            if carried and ctx._pending_events.pop(name, None):
                took_effect("event_after_continue_as_new")
            ctx.note_raised(event.eventRaised)
        ctx.made.clear()
        try:
            super().process_event(ctx, event)
        except Exception as error:
            # What follows in the past says whether the code may raise here.
            if "ended_before_history" not in active or error is not ctx.raised:
                raise
            ctx.set_failed(error)
        self.release(ctx)

    def execute(self, *arguments: Any) -> Any:
        result = super().execute(*arguments)
        early = Context.current is not None and Context.current.failed_in_the_past
        if (
            early
            and "status_of_an_early_failure" in active
            and result.encoded_custom_status is not None
        ):
            took_effect("status_of_an_early_failure")
            result.encoded_custom_status = None
        return result

    def give_up(self, ctx: Any, call: Any) -> None:
        """Fail a call as its last attempt has failed."""
        ctx.made.clear()
        ctx.given_up.append(call)
        call.fail(*call.last_failure)
        try:
            ctx.resume()
        except StopIteration as ended:
            ctx.set_complete(ended.value, worker.pb.ORCHESTRATION_STATUS_COMPLETED)
        self.release(ctx)

    def release(self, ctx: Any) -> None:
        """Apply completions that came before their calls."""
        released = []
        for action_id in sorted(set(ctx.made) & set(self.early)):
            early = self.early.pop(action_id)
            released += [event for event in early if _completes(ctx, action_id, event)][:1]
        ctx.made.clear()
        for event in released:
            took_effect("early_completion")
            self.process_event(ctx, event)


def _belongs(call: Any, event: Any) -> bool:
    """Whether a completion is of what was asked for under its id, or confirmed since."""
    kind = event.WhichOneof("eventType")
    which = "eventType" if hasattr(call, "taskScheduled") else "orchestratorActionType"
    asked = call.WhichOneof(which)
    body = getattr(call, asked)
    if asked in ("createTimer", "timerCreated"):
        if kind != "timerFired":
            return False
        fired = event.timerFired
        known = body.HasField("fireAt") and fired.HasField("fireAt")
        return not known or body.fireAt == fired.fireAt
    if asked in ("scheduleTask", "taskScheduled"):
        if kind not in ("taskCompleted", "taskFailed"):
            return False
        execution_id = getattr(event, kind).taskExecutionId
        return "" in (execution_id, body.taskExecutionId) or execution_id == body.taskExecutionId
    return bool(kind.startswith("subOrchestration"))


def _completes(ctx: Any, action_id: int, event: Any) -> bool:
    """Whether this completion is that of the call just made, and not of a past execution's."""
    action = ctx._pending_actions.get(action_id)
    if action is None or ctx._is_complete:
        return False
    kind, asked = event.WhichOneof("eventType"), action.WhichOneof("orchestratorActionType")
    if asked == "createTimer":
        fire_at = event.timerFired.fireAt
        return bool(
            kind == "timerFired"
            and (not event.timerFired.HasField("fireAt") or fire_at == action.createTimer.fireAt)
        )
    if asked == "scheduleTask":
        if kind not in ("taskCompleted", "taskFailed"):
            return False
        execution_id = getattr(event, kind).taskExecutionId
        return bool(execution_id in ("", action.scheduleTask.taskExecutionId))
    return bool(asked == "createSubOrchestration" and kind.startswith("subOrchestration"))


class Context(EndingContext):
    """The context, with the corrections of how orchestrators begin and end."""

    current: Any = None

    def __init__(self, instance_id: str) -> None:
        super().__init__(instance_id)
        self.made: list[int] = []
        self.raw_events: dict[str, list[Any]] = {}
        self.failed_in_the_past = False
        Context.current = self

    def next_sequence_number(self) -> int:
        number: int = super().next_sequence_number()
        self.made.append(number)
        return number

    def note_raised(self, raised: Any) -> None:
        """Keep the payload of an event that nobody waits for, as it came."""
        name = raised.name.casefold()
        if not self._pending_events.get(name):
            payload = raised.input.value or None
            self.raw_events.setdefault(name, []).append(payload)

    def wait_for_external_event(self, name: str) -> Any:
        if self.raw_events.get(name.casefold()):
            self.raw_events[name.casefold()].pop(0)
        return super().wait_for_external_event(name)

    def run(self, generator: Any) -> None:
        with self.noting_errors():
            self._run(generator)

    def _run(self, generator: Any) -> None:
        super().run(generator)
        first = self._previous_task
        if not isinstance(first, task.Task):
            if "first_yield_no_task" in active:
                took_effect("first_yield_no_task")
                raise TypeError("The orchestrator generator yielded a non-Task object")
        elif first.is_complete and "first_task_complete" in active:
            took_effect("first_task_complete")
            self.resume()

    def resume(self) -> None:
        ended = (
            self._is_complete and self._generator is not None and self._generator.gi_frame is None
        )
        if ended and "action_after_end" in active:
            took_effect("action_after_end")
            return
        with self.noting_errors():
            super().resume()

    def set_failed(self, ex: Exception) -> None:
        if not self._is_complete:
            self.failed_in_the_past = self._is_replaying
        super().set_failed(ex)

    def set_complete(self, result: Any, status: Any, is_result_encoded: bool = False) -> None:
        if "unwritable_result" in active and not self._is_complete and not is_result_encoded:
            try:
                shared.to_json(result)
            except Exception:
                took_effect("unwritable_result")
                raise
        super().set_complete(result, status, is_result_encoded)

    def get_actions(self) -> Any:
        if self._completion_status == worker.pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW:
            return self._continued()
        actions = super().get_actions()
        last = [each for each in actions if each.HasField("completeOrchestration")]
        if "action_after_end" in active and self._is_complete and actions != last:
            took_effect("action_after_end")
            return last
        return actions

    def _continued(self) -> Any:
        if "unwritable_result" in active:
            try:
                shared.to_json(self._new_input)
            except Exception as error:
                took_effect("unwritable_result")
                self._is_complete = False
                self.set_failed(error)
                return super().get_actions()
        (action,) = super().get_actions()
        for event in action.completeOrchestration.carryoverEvents:
            raised = event.eventRaised
            payloads = self.raw_events.get(raised.name, [])
            if payloads:
                self._restore(raised, payloads.pop(0))
        return [action]

    def _restore(self, raised: Any, payload: str | None) -> None:
        """Give a carried event the payload that it came with."""
        if payload is None:
            return
        written = raised.input.value if raised.HasField("input") else None
        kind = "falsy_carried_event" if written is None else "rewritten_carried_event"
        if written != payload and kind in active:
            took_effect(kind)
            raised.input.value = payload


def _compute_next_delay(self: Any) -> Any:
    if _expired(self) and self._attempt_count < self._retry_policy.max_number_of_attempts:
        took_effect("retry_timeout")
        return None
    return _original_delay(self)


def _expired(call: Any) -> bool:
    """Whether the call's retry timeout is over, by the orchestrator's clock."""
    timeout = call._retry_policy.retry_timeout
    if timeout is None:
        return False
    return bool(Context.current.current_utc_datetime - call._start_time >= timeout)


def _failure(ctx: Any, event: Any) -> tuple[str, Any] | None:
    """What `fail` of the task would be told, if the event is a failure."""
    kind = event.WhichOneof("eventType")
    if not kind.endswith("Failed"):
        return None
    failed = getattr(event, kind)
    subject = "Sub-orchestration" if kind != "taskFailed" else f"{ctx.instance_id}: Activity"
    message = (
        f"{subject} task #{failed.taskScheduledId} failed: {failed.failureDetails.errorMessage}"
    )
    return message, failed.failureDetails


def _to_json(value: Any) -> str:
    text: str = json.dumps(_named(value))
    if text != _original_or_none(value):
        took_effect("nested_named_fields")
    return text


def _original_or_none(value: Any) -> str | None:
    with contextlib.suppress(Exception):
        text: str = _original_to_json(value)
        return text
    return None


def _named(value: Any) -> Any:
    """The value with all that has named fields as marked objects."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _marked(dict(zip(value._fields, value, strict=True)))
    if hasattr(value, "__dataclass_fields__"):
        return _marked({name: getattr(value, name) for name in value.__dataclass_fields__})
    if isinstance(value, SimpleNamespace):
        return _marked({k: v for k, v in vars(value).items() if k != shared.AUTO_SERIALIZED})
    if isinstance(value, dict):
        return {key: _named(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_named(each) for each in value]
    return value


def _marked(fields: dict[str, Any]) -> dict[str, Any]:
    return {**{key: _named(each) for key, each in fields.items()}, shared.AUTO_SERIALIZED: True}
