"""Histories that 0.17.4 has made, by programs that nobody has changed, go on here.

`test_parity` plays histories that this package makes. Here 0.17.4's own answers are committed, also
where it hangs, repeats itself or goes another way, and this package takes over at every turn.
"""

from __future__ import annotations

from typing import Any

from parity.chance import new_case
from parity.play import Play, calm, comparable, explain
from parity.reference import Reference
from parity.world import World

PROGRAMS = 300
SEED = 20261122

OTHER_WAYS = {
    "retry_timeout",
    "failed_when_all",
    "completed_before_when_all",
    "first_task_complete",
    "task_in_composites",
    "early_completion",
    "patch_while_suspended",
}
"""Kinds after which 0.17.4 may have called something else: it retried for longer, by the clock on its
wall; went on at another event than this package does; or had forgotten a patch.
"""


def unchanged_plays() -> list[Play]:
    plays = []
    for number in range(PROGRAMS):
        case, chooser = new_case(f"{SEED}/{number}")
        if len(case["programs"]) == 1:
            plays.append(Play(case, untampered(chooser.next_turn)))
    return plays


def untampered(choose: Any) -> Any:
    """The choices without a tampered history, and without a suspension of what is suspended: 0.17.4
    stays so whatever comes.
    """

    def next_turn(world: World) -> Any:
        turn = choose(world)
        if turn is not None:
            turn.pop("tamper", None)
            suspended, events = world.suspended, []
            for each in turn["events"]:
                if "resume" in each or ("suspend" in each and not suspended):
                    suspended = "suspend" in each
                elif "suspend" in each:
                    continue
                events.append(each)
            turn["events"] = events
        return turn

    return next_turn


def parted(response: Any) -> bool:
    """Whether the answer is that code and history have parted."""
    return response is not None and any(
        action.completeOrchestration.failureDetails.errorType == "NonDeterminismError"
        for action in response.actions
    )


def test_histories_that_0_17_4_has_made_go_on() -> None:
    went_on = 0
    plays = unchanged_plays()
    kinds: dict[int, set[str]] = {id(play): set() for play in plays}
    with Reference() as reference, calm():
        while plays:
            asked = [(play, question) for play in plays if (question := play.prepare())]
            reference.ask([(*question, None) for _, question in asked])
            answers = list(zip(asked, reference.answers(), strict=True))
            plays = []
            for (play, question), (theirs, _) in answers:
                expected = comparable(theirs)
                ours = comparable(play.engines["cold"].execute(*question))
                met = kinds[id(play)]
                if ours != expected:
                    found, _ = explain(reference, question, ours)
                    assert found or met, f"no deviation explains\n{expected}\nand\n{ours}"
                    met |= found or set()
                if met and not met & OTHER_WAYS:
                    went_on += 1
                    assert not parted(ours), f"{play.case['instance']}: {met}\n{ours}"
                if expected is not None:
                    play.world.commit(expected)
                    plays.append(play)
    assert went_on > 100, f"only {went_on} turns came after something that 0.17.4 does otherwise"
