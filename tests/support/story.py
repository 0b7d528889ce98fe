"""Plays an orchestration turn by turn, both kept alive between turns and replayed from the start."""

from __future__ import annotations

from typing import Any

from durabletask.replay import Replayer
from durabletask.worker import ReplayCacheOptions

from support import messages
from support.history import History


class Story:
    """An orchestration turn by turn; the live and the replayed orchestrator have to give the same answers."""

    def __init__(self, orchestrator: Any) -> None:
        self.history = History(orchestrator.__name__)
        self._cold = Replayer([orchestrator])
        self._live = Replayer([orchestrator], replay_cache=ReplayCacheOptions())
        self._turns = 0
        self.response: Any = None

    def answer(self) -> Any:
        """The response to the turn as it is told now."""
        request = self.history.encode()
        live, cold = (
            messages.OrchestratorResponse.FromString(replayer.execute(request))
            for replayer in (self._live, self._cold)
        )
        stack_traces_apart(live, cold)
        assert live == cold, "a live orchestrator answers otherwise than a replayed one"
        hits = self._live.replay_cache_counters["hits"]
        assert hits == self._turns, f"{self._turns} turns could go on, {hits} did"
        self._turns += 1
        self.response = cold
        return cold

    def next_turn(self, seconds: float = 1.0) -> History:
        """Confirm what was asked for, and begin the next turn."""
        confirmations = History("x").confirm(self.response).request.newEvents[2:]
        self.history.turn(seconds=seconds)
        self.history.request.pastEvents.extend(confirmations)
        return self.history


def stack_traces_apart(*responses: Any) -> None:
    for response in responses:
        for action in response.actions:
            if action.HasField("completeOrchestration"):
                action.completeOrchestration.failureDetails.ClearField("stackTrace")
