"""Histories that a call hands on to what it starts; public through `durabletask.task`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from durabletask import _core
from durabletask._states import HistoryEvent, history_event


class HistoryPropagation(IntEnum):
    """How much history an activity or a sub-orchestration is shown by whoever calls it.

    The numbers are the protocol's.
    """

    NONE = 0
    """None of it."""
    OWN_HISTORY = 1
    """The history of the orchestration that makes the call."""
    LINEAGE = 2
    """That, and what the orchestration was itself shown by those before it."""


@dataclass(frozen=True)
class PropagatedHistoryChunk:
    """The history of one orchestration among those before this one.

    Attributes:
        app_id: The application that it belongs to.
        instance_id: Its id.
        workflow_name: The name of its orchestrator.
        events: Its events, oldest first.
    """

    app_id: str
    instance_id: str
    workflow_name: str
    events: tuple[HistoryEvent, ...]


@dataclass(frozen=True)
class PropagatedHistory:
    """What whoever made the call lets its callee see.

    Attributes:
        scope: What the caller asked for.
        chunks: One for each orchestration, in the order in which the sidecar sent them.
    """

    scope: HistoryPropagation
    chunks: tuple[PropagatedHistoryChunk, ...]


def decode_propagated_history(serialized: bytes) -> PropagatedHistory:
    """Decode a serialized PropagatedHistory.

    Raises:
        ValueError: It is none, or has a scope that this version does not know.
    """
    scope, chunks = _core.decode_propagated_history(serialized)
    return PropagatedHistory(
        HistoryPropagation(scope),
        tuple(
            PropagatedHistoryChunk(
                app_id, instance_id, workflow_name, tuple(history_event(event) for event in events)
            )
            for app_id, instance_id, workflow_name, events in chunks
        ),
    )
