"""0.17's `_OrchestrationExecutor`: turns whose events and actions are protobuf messages, for tests written for it.

Workers do without: they hand bytes to the engine. It needs protobuf, and is found in `durabletask.worker`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from durabletask import _core, task
from durabletask._protobuf import protocol
from durabletask._worker.registry import Registry
from durabletask._worker.typed import TypedOrchestrators


class ExecutionResults:
    """What a turn has come to: its `OrchestratorAction`s, and what else the response to a sidecar holds."""

    def __init__(
        self,
        actions: list[Any],
        encoded_custom_status: str | None,
        version_name: str | None = None,
        patches: list[str] | None = None,
    ):
        self.actions = actions
        self.encoded_custom_status = encoded_custom_status
        self.version_name = version_name
        self.patches = patches


class OrchestrationExecutor:
    """Plays single turns, each from the beginning of its history, with the orchestrators of a registry."""

    def __init__(self, registry: Registry, logger: logging.Logger):
        self._executor = _core.Executor(TypedOrchestrators(registry), logger)

    def execute(
        self, instance_id: str, old_events: Sequence[Any], new_events: Sequence[Any]
    ) -> ExecutionResults:
        """Play a turn: `HistoryEvent`s that were played before, and those that are new.

        Raises:
            ImportError: There is no protobuf.
            OrchestrationStateError: There are no new events.
        """
        names = protocol().names
        if not new_events:
            raise task.OrchestrationStateError(
                "The new history event list must have at least one event in it."
            )
        request = names["OrchestratorRequest"](
            instanceId=instance_id, pastEvents=old_events, newEvents=new_events
        )
        for event in (*request.pastEvents, *request.newEvents):
            # 0.17 knows timers by their ids alone, and tests name any time. The engine would take a timer that fires
            # at another time than it was created for as one of an earlier generation.
            if event.HasField("timerFired"):
                event.timerFired.ClearField("fireAt")
        response = names["OrchestratorResponse"].FromString(
            self._executor.execute(request.SerializeToString())
        )
        return ExecutionResults(
            list(response.actions),
            response.customStatus.value if response.HasField("customStatus") else None,
            response.version.name or None,
            list(response.version.patches),
        )
