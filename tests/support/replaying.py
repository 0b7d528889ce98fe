"""Plays a history with one orchestrator and returns what the engine answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from durabletask.replay import Replayer

from support import messages
from support.history import History


def play(history: History, *orchestrators: Callable[..., Any]) -> Any:
    """The response to the history's last turn, as a message."""
    return messages.OrchestratorResponse.FromString(
        Replayer(orchestrators=orchestrators).execute(history.encode())
    )


def completion(response: Any) -> Any:
    """The response's only action, which has to be the orchestration's end."""
    kinds = [action.WhichOneof("orchestratorActionType") for action in response.actions]
    assert kinds == ["completeOrchestration"], f"expected one completion, found {kinds}"
    return response.actions[0].completeOrchestration


def output(response: Any) -> str:
    """The JSON that the orchestration completed with."""
    end = completion(response)
    status = messages.status_name(end.orchestrationStatus)
    assert status == "COMPLETED", f"expected COMPLETED, found {status}: {end.failureDetails}"
    result: str = end.result.value
    return result


def failure(response: Any) -> Any:
    """The details that the orchestration failed with."""
    end = completion(response)
    status = messages.status_name(end.orchestrationStatus)
    assert status == "FAILED", f"expected FAILED, found {status} with {end.result.value}"
    return end.failureDetails


def calls(response: Any) -> list[tuple[int, str, str]]:
    """The response's actions as (id, kind, name)."""
    found = []
    for action in response.actions:
        kind = action.WhichOneof("orchestratorActionType")
        found.append((action.id, kind, getattr(getattr(action, kind), "name", "")))
    return found
