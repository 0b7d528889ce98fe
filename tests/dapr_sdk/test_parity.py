"""Random programs are answered as the engine inside Dapr's SDK answers them, turn by turn, whoever made the history.

So a workflow that was begun under their engine goes on under this one, and the other way round, at every turn; also
after turns that the engines answer differently, wherever what was called is the same.
DURABLETASK_DAPR_PARITY sets how many programs are played for each version and each maker of histories.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from parity import chance, programs
from parity.dapr_differences import KINDS, answer, explain
from parity.play import Play, _quiet, _registry, calm
from parity.reference import Reference

from durabletask import _core
from durabletask._payloads import write, write_dapr
from durabletask.worker import ReplayCacheOptions

from support import messages
from support.dapr_sdk import VERSIONS, environment, sdk_python

PROGRAMS = int(os.environ.get("DURABLETASK_DAPR_PARITY") or 150)
SEED = 37908908
"""PARITY_SEED takes others: the rules do not know all that rare programs meet."""
BATCH = 100


@pytest.fixture(autouse=True)
def _plain_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs without oddities: what those meet in 0.17.4, which this engine shares, is the matter of `parity`."""
    make = programs.Author.__init__

    def plain(author: Any, rng: Any) -> None:
        make(author, rng)
        author.oddity = 0.0

    monkeypatch.setattr(programs.Author, "__init__", plain)


@pytest.fixture(autouse=True)
def _written_as_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Payloads as `durabletask.dapr` has them written. Programs have no models."""
    monkeypatch.setattr(write, "instead", write_dapr.writer(lambda _: NotImplemented))


class Ours:
    """This package, following the SDK: replayed from the start, and alive from turn to turn."""

    def __init__(self, semantics: str) -> None:
        self._semantics = semantics
        self._program: str | None = None
        self._live: Any = None

    def execute(self, program: str, request: bytes) -> Any:
        registry = _registry(program)
        cold = _core.Executor(registry, _quiet, semantics=self._semantics).execute(request)
        if self._program != program:
            self._program = program
            self._live = _core.Executor(
                registry,
                _quiet,
                semantics=self._semantics,
                replay_cache=ReplayCacheOptions().limits,
            )
        assert answer(self._live.execute(request)) == answer(cold), "a live orchestrator parts"
        return cold


OTHER_WAYS = {
    "task_in_composites",
    "suspension",
    "stray_completion",
    "ended_before_history",
    "action_after_end",
}
"""Kinds after which one engine may have called something that the other does not."""


def parted(response: Any) -> bool:
    """Whether the answer is that code and history do not fit."""
    return response is not None and any(
        action.completeOrchestration.failureDetails.errorType == "NonDeterminismError"
        for action in response.actions
    )


def play(reference: Reference, plays: list[Play], semantics: str, made_by: str) -> Counter[str]:
    """Play cases to their ends; what explained the differences.

    One engine makes the histories, also where it answers otherwise than the other, which then has to go on from there.
    """
    kinds: Counter[str] = Counter()
    met: dict[int, set[str]] = {id(play): set() for play in plays}
    engines = {id(play): Ours(semantics) for play in plays}
    while plays:
        asked = [(play, question) for play in plays if (question := play.prepare())]
        reference.ask([(*question, None) for _, question in asked])
        plays = []
        for (each, (program, request)), (given, noted) in zip(
            asked, reference.answers(), strict=True
        ):
            kinds["turns"] += 1
            response = engines[id(each)].execute(program, request)
            ours, theirs = answer(response), answer(given)
            before = met[id(each)]
            if before and not before & OTHER_WAYS:
                kinds["turns after a difference"] += 1
                assert not parted(ours if made_by == "theirs" else theirs), (
                    f"{program}\nparts from a history made by {made_by}, after {before}"
                )
            if ours != theirs and not before:
                turn = messages.OrchestratorRequest.FromString(request)
                found = explain(turn, ours, theirs, noted)
                if found is None:
                    pytest.fail(
                        f"{program}\n--- this package\n{ours}\n--- Dapr's\n{theirs}", pytrace=False
                    )
                before.add(found)
                kinds[found] += 1
            made = given if made_by == "theirs" else response
            if made is None or given is None:
                continue  # a turn without end, which takes as long as `peer.TURN_LIMIT` says
            each.world.commit(messages.OrchestratorResponse.FromString(made))
            plays.append(each)
    return kinds


@pytest.mark.timeout(240 + PROGRAMS // 5)
@pytest.mark.parametrize("made_by", ["ours", "theirs"])
@pytest.mark.parametrize("version", VERSIONS)
def test_histories_go_on_under_both_engines(
    version: str, made_by: str, record_property: Any
) -> None:
    seed = int(os.environ.get("PARITY_SEED") or SEED)
    peer = [sdk_python(version), str(Path(__file__).parent / "peer.py")]
    kinds: Counter[str] = Counter()
    without_path = {key: value for key, value in environment().items() if key != "PYTHONPATH"}
    with Reference(peer, without_path) as reference, calm():
        for first in range(0, PROGRAMS, BATCH):
            plays = []
            for number in range(first, min(first + BATCH, PROGRAMS)):
                case, chooser = chance.new_case(f"{seed}/{number}")
                plays.append(Play(case, chooser.next_turn))
            kinds += play(reference, plays, f"dapr-{version[:4]}", made_by)
    print(f"{version}, made by {made_by}: {PROGRAMS} programs, seed {seed}: {dict(kinds)}")
    explained = sum(kinds[kind] for kind in KINDS)
    assert kinds["turns"] > 2 * PROGRAMS, "the programs end too soon to show anything"
    assert explained * 10 < kinds["turns"], f"too much is explained away: {kinds}"
