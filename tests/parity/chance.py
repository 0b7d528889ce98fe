"""Makes the simulated sidecar's choices: what arrives at which turn. See `world.py` for their form."""

from __future__ import annotations

import random
from typing import Any

from parity.programs import EVENTS, Author, json_text
from parity.world import World

MAX_TURNS = 14
MAX_GENERATIONS = 4
FAILURES = ["ValueError", "KeyError", "Fatal", "NonRetryableError", "TimeoutError", ""]
MARKERS = ["orchestratorCompleted", "executionCompleted", "eventSent", "continueAsNew"]
MARKERS += ["executionStalled", "detachedOrchestrationInstanceCreated"]


def new_case(seed: str) -> tuple[dict[str, Any], Chooser]:
    """A case without turns yet, and who chooses them."""
    rng = random.Random(seed)
    author = Author(rng)
    case: dict[str, Any] = {
        "programs": {"0": author.program()},
        "instance": rng.choice(["order-7", "größe", "", "a:b/c"]) + f"#{rng.randrange(1000)}",
        "app_id": rng.choice(["test-app", "test-app", "", None]),
        "input": json_text(rng),
        "turns": [],
    }
    if rng.random() < 0.05:
        case["version"] = rng.choice(["v1", "v2", "v9"])
    if rng.random() < 0.04:
        case["programs"][str(rng.randint(1, 4))] = Author(rng).changed(case["programs"]["0"])
    return case, Chooser(rng)


class Chooser:
    """The choices of one case."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = rng.randrange(10**12)
        self.idle = 0
        self.oddity = rng.choice([0.0, 0.0, 0.02, 0.08])
        # Some instances are terminated or suspended again and again, most never.
        self.interference = rng.choice([0.0, 0.0, 0.0, 0.2])

    def rare(self) -> bool:
        return self.rng.random() < self.oddity

    def next_turn(self, world: World) -> dict[str, Any] | None:
        """What happens at the next turn; None if there is none."""
        if world.finished or world.turn >= MAX_TURNS or world.generation >= MAX_GENERATIONS:
            return None
        if self.idle > 2:
            return None
        rng = self.rng
        first = not world.started
        events = [] if first and rng.random() < 0.8 else self.events(world)
        self.now += rng.choice([1, 1000, 999_999, 5_000_000, rng.randrange(10**9)])
        turn: dict[str, Any] = {"at": self.now, "events": events}
        if rng.random() < 0.02:
            turn["lost"] = True
        if self.rare() and rng.random() < 0.2:
            tamper = rng.choice([{"name": "other"}, {"id": 77}, "timer", "dropped"])
            turn["tamper"] = {str(rng.randint(1, 6)): tamper}
        return turn

    def events(self, world: World) -> list[dict[str, Any]]:
        rng = self.rng
        ids = list(world.outstanding)
        rng.shuffle(ids)
        if ids and rng.random() < 0.75:
            ids = ids[: rng.randint(1, min(3, len(ids)))]
        events = [self.answer(world, action_id) for action_id in ids]
        self.idle = 0 if ids else self.idle + 1
        wanted = world.wanted or EVENTS
        for _ in range(rng.choices([0, 1, 2], [6, 3, 1] if ids else [1, 4, 2])[0]):
            name = rng.choice(wanted) if rng.random() < 0.8 else rng.choice([*EVENTS, "nobody"])
            name = rng.choice([name, name.swapcase(), name.lower()])
            events.append({"raise": name, "data": self.payload()})
        if self.rare():
            events.append(self.stray(world))
        if self.rare():
            events.append({"marker": rng.choice(MARKERS)})
        events += self.interferences(world)
        if rng.random() < 0.5:
            rng.shuffle(events)
        return events or [{"raise": rng.choice(wanted), "data": self.payload()}]

    def payload(self) -> str | None:
        return json_text(self.rng)

    def interferences(self, world: World) -> list[dict[str, Any]]:
        rng = self.rng
        if world.suspended:
            again = [{"suspend": True}] if rng.random() < 0.1 else []
            return [*again, {"resume": True}] if rng.random() < 0.5 else again
        if rng.random() < self.interference:
            self.idle = 0
            return [{"suspend": True}]
        if rng.random() < self.interference * 0.3 or (self.rare() and rng.random() < 0.3):
            return [{"terminate": rng.choice(['"enough"', "0", "", None, "no json"])}]
        return [{"resume": True}] if self.rare() and rng.random() < 0.3 else []

    def answer(self, world: World, action_id: int) -> dict[str, Any]:
        action = world.outstanding.pop(action_id)
        if action.HasField("createTimer"):
            return {"answer": action_id}
        asked = getattr(action, action.WhichOneof("orchestratorActionType"))
        odds = {"boom": 1.0, "flaky": 0.6}.get(asked.name, 0.1)
        if self.rng.random() >= odds:
            return {"answer": action_id, "result": self.payload()}
        return {"answer": action_id, "failure": self.failure()}

    def failure(self) -> dict[str, Any]:
        rng = self.rng
        weights = [5, 2, 1, 1, 2, 1]
        return {
            "type": rng.choices(FAILURES, weights)[0],
            "message": rng.choice(["out of stock", "", "größe", "a\nb"]),
            "stack": rng.choice([None, "", "  File x, line 1\n"]),
        }

    def stray(self, world: World) -> dict[str, Any]:
        """A completion that nobody expects: of the past, of a later call, or of nothing."""
        if world.before and self.rng.random() < 0.5:
            left_over = self.rng.choice(list(world.before))
            return {"answer": left_over, "of": "before", "result": self.payload()}
        last = max(world.asked, default=0)
        next_ids = range(last + 1, last + 6)
        action_id = self.rng.choice([0, 1, 99, *list(world.asked)[-3:], *next_ids])
        kind = self.rng.choice(["taskCompleted", "taskCompleted", "timerFired", "sub"])
        return {"answer": action_id, "as": kind, "result": self.payload()}
