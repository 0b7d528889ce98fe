"""Plays cases turn by turn on both engines and compares the responses."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from parity import interpreter
from parity.deviations import KINDS
from parity.reference import Reference
from parity.world import World

from durabletask import _core
from durabletask.worker import ReplayCacheOptions, _Registry

from support import messages

Case = dict[str, Any]
Message = Any

COMPOSITES = frozenset({"failed_when_all", "task_in_composites", "completed_before_when_all"})
GROUPS = [COMPOSITES, *(frozenset({kind}) for kind in KINDS if kind not in COMPOSITES)]
"""Kinds that are corrected together."""

OWN_WORDING = {"NonDeterminismError", "OrchestrationStateError", "TypeError", "OverflowError"}
"""Errors that the two engines tell in words of their own."""


class Engine(Protocol):
    """This package, ready to take the turns of one case in their order."""

    def execute(self, program: str, request: bytes) -> bytes:
        """Answer a turn of a program (JSON)."""


class Cold:
    """Replays the whole history at every turn."""

    def execute(self, program: str, request: bytes) -> bytes:
        return _executor(program).execute(request)


class Warm:
    """Keeps the orchestrator alive between turns; a change of the program is a restart of the worker."""

    def __init__(self) -> None:
        self._program: str | None = None
        self._live: _core.Executor | None = None

    def execute(self, program: str, request: bytes) -> bytes:
        if self._live is None or self._program != program:
            self._program = program
            self._live = _core.Executor(
                _registry(program), _quiet, replay_cache=ReplayCacheOptions().limits
            )
        return self._live.execute(request)


MODES: dict[str, Callable[[], Engine]] = {"cold": Cold, "warm": Warm}
"""In each of these ways every turn is played; all must give the same responses."""

_quiet = logging.getLogger("durabletask-parity")
_quiet.setLevel(logging.CRITICAL + 1)


@lru_cache(maxsize=4096)
def _registry(program: str) -> _Registry:
    registry = _Registry()
    for arguments in interpreter.orchestrators(json.loads(program)):
        registry.add_named_orchestrator(*arguments)
    return registry


@lru_cache(maxsize=4096)
def _executor(program: str) -> _core.Executor:
    return _core.Executor(_registry(program), _quiet)


def comparable(response: bytes | None) -> Message | None:
    """A response without what may differ: stack traces, the wording of some errors, and what 0.17.4
    never sets: the flag for errors that are not retried, what is behind a failure, and what timers
    are for. None, for a turn without end, stays None.
    """
    if response is None:
        return None
    message = messages.OrchestratorResponse.FromString(response)
    for action in message.actions:
        if action.HasField("createTimer"):
            action.createTimer.ClearField(action.createTimer.WhichOneof("origin") or "createTimer")
        complete = action.completeOrchestration
        if action.HasField("completeOrchestration") and complete.HasField("failureDetails"):
            details = complete.failureDetails
            details.ClearField("stackTrace")
            details.ClearField("innerFailure")
            if details.errorType == "NonRetryableError":
                details.ClearField("isNonRetriable")
            if details.errorType in OWN_WORDING:
                details.ClearField("errorMessage")
    return message


@dataclass
class Difference:
    """A turn at which the engines differ, and no listed deviation says why."""

    turn: int
    mode: str
    ours: Message
    theirs: Message | None
    corrected: Message | None

    def __str__(self) -> str:
        shown = [f"turn {self.turn}, mode {self.mode}: the responses differ"]
        for name, response in (
            ("this package", self.ours),
            ("0.17.4", self.theirs),
            ("0.17.4 with all corrections, or this package cold", self.corrected),
        ):
            text = "loops for ever" if response is None else str(response).strip() or "(empty)"
            shown.append(f"--- {name}\n{text}")
        return "\n".join(shown)


@dataclass
class Play:
    """One case on its way. `choose` gives the next turn while the case is being made; None ends it."""

    case: Case
    choose: Callable[[World], Any] | None = None
    turns: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    difference: Difference | None = None

    def __post_init__(self) -> None:
        self.world = World(self.case)
        self.engines = {mode: make() for mode, make in MODES.items()}

    def prepare(self) -> tuple[str, bytes] | None:
        """The program and the request of the next turn, if there is one."""
        if self.difference is not None or self.world.finished:
            return None
        turns = self.case["turns"]
        if self.choose is not None:
            turn = self.choose(self.world)
            if turn is None:
                return None
            turns.append(turn)
        if self.world.turn >= len(turns):
            return None
        return self.world.program, self.world.request()

    def compare(self, reference: Reference, asked: tuple[str, bytes], theirs: bytes | None) -> None:
        """Play the turn here, compare with what 0.17.4 answered, and commit it."""
        expected = comparable(theirs)
        self.turns += 1
        turn = self.world.turn
        response = self.engines["cold"].execute(*asked)
        cold = comparable(response)
        if cold != expected:
            kinds, corrected = explain(reference, asked, cold)
            if kinds is None:
                self.difference = Difference(turn, "cold", cold, expected, corrected)
                return
            self.kinds.update(kinds)
        for mode, engine in self.engines.items():
            if mode != "cold" and (ours := comparable(engine.execute(*asked))) != cold:
                self.difference = Difference(turn, mode, ours, expected, cold)
                return
        self.world.commit(messages.OrchestratorResponse.FromString(response))


def explain(
    reference: Reference, asked: tuple[str, bytes], ours: Message
) -> tuple[set[str] | None, Message | None]:
    """The deviations that make up the difference: with these of 0.17.4 corrected, and no fewer, its
    response is ours. None if there are none; then also its response with all corrections.
    """
    needed = set(KINDS)
    response, fired = reference.execute(*asked, needed)
    corrected = comparable(response)
    if corrected != ours:
        return None, corrected
    # Those that took effect should do; then each of them is tried without.
    for group in (needed - set(fired), *GROUPS):
        if group & needed:
            response, took_effect = reference.execute(*asked, needed - group)
            if comparable(response) == ours:
                needed, fired = needed - group, took_effect
    return (needed & set(fired)) or None, corrected


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """Programs pass values as custom status that are deprecated; that is no news here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def play_together(reference: Reference, plays: list[Play]) -> None:
    """Play cases to their ends, the same turn of all of them at a time."""
    with calm():
        while plays:
            asked = [(play, question) for play in plays if (question := play.prepare())]
            reference.ask([(*question, None) for _, question in asked])
            for (play, question), (theirs, _) in zip(asked, reference.answers(), strict=True):
                play.compare(reference, question, theirs)
            plays = [play for play, _ in asked]


def play(reference: Reference, case: Case) -> Play:
    """Play a whole case."""
    playing = Play(case)
    play_together(reference, [playing])
    return playing
