"""Writes random programs for `interpreter.py`.

Most of what it writes is what people write; a small part (`rare`) is what reaches the deviations of
`deviations.py`, and errors.
"""

from __future__ import annotations

import json
import random
from typing import Any

ACTIVITIES = ["charge", "ship", "flaky", "boom", "größe"]
EVENTS = ["Go", "approve", "STRASSE", "ping"]
TEXTS = [
    "",
    "x",
    'say "hi"',
    "a\\b",
    "line\nbreak",
    "Zürich",
    "日本",
    "🎉",
    "null",
    "\x7f\x01",
    "\ud83d",
]
NUMBERS = [0, 1, -1, 7, 2**31, 2**53 + 1, 10**30, 0.0, -0.0, 0.1, 1e-7, 1e22, 1.5, float("inf")]
KEYS = ["a", "b", "", "ключ", "__durabletask_autoobject__x"]
DRAWS = ["new_guid", "uuid4", "random", "random_int", "random_string", "random_choice"]
DRAWS += ["now_with_sequence", "now", "instance_id"]
ERRORS = ["ProgramError", "ValueError", "KeyError", "NonRetryableError"]
SECONDS = [0, 0.000001, 0.5, 1, 1.05, 2.345678, 3, 60, 3600, 86400.25]

Data = dict[str, Any]


class Author:
    """Writes one program."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.kept = 0
        # Some programs are plain through and through: long histories without oddities.
        self.oddity = rng.choice([0.0, 0.0, 0.01, 0.03])

    def rare(self) -> bool:
        return self.rng.random() < self.oddity

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def program(self) -> Data:
        rng = self.rng
        if self.chance(0.08):
            versions = ["v1", "v2", "v3"][: rng.randint(1, 3)]
            latest = rng.choice([*versions, None])
            return {
                "orchestrators": [
                    {"name": "main", "body": self.body(), "version": each, "latest": each == latest}
                    for each in versions
                ]
            }
        style = rng.choices(["generator", "returns", "plain"], [20, 3, 1])[0]
        body = self.statements(2, 1, calm=True) if style == "plain" else self.body()
        name = "absent" if self.rare() and self.chance(0.3) else "main"
        return {"orchestrators": [{"name": name, "style": style, "body": body}]}

    def changed(self, program: Data) -> Data:
        """The program as somebody has changed it: a statement more, less, or another."""
        changed: Data = json.loads(json.dumps(program))
        for each in changed["orchestrators"]:
            at = self.rng.randint(0, len(each["body"]))
            each["body"][at : at + self.rng.randint(0, 1)] = self.statements(
                self.rng.randint(0, 1), 1
            )
        return changed

    def body(self) -> list[Data]:
        body = self.statements(self.rng.randint(1, 7), 2)
        if self.rare():
            body.insert(0, {"do": "yield", "task": {"task": "all", "of": []}})
        if self.rare():
            first = self.rng.choice([None, 42, {"a": 1}])
            body.insert(0, {"do": "yield_value", "value": first})
        if self.chance(0.3):
            body.append(self.ending())
        return body

    def ending(self) -> Data:
        rng = self.rng
        kind = rng.choices(["return", "continue_as_new", "raise"], [4, 3, 2])[0]
        if kind == "return":
            value = {"$": "unwritable"} if self.rare() else self.value(3)
            return {"do": "return", "value": value}
        if kind == "raise":
            return {"do": "raise", "type": rng.choice(ERRORS), "message": rng.choice(TEXTS[:-1])}
        return {
            "do": "continue_as_new",
            "input": {"$": "unwritable"} if self.rare() else self.value(2),
            "save_events": self.chance(0.6),
        }

    # Statements

    def statements(self, count: int, depth: int, calm: bool = False) -> list[Data]:
        return [self.statement(depth, calm) for _ in range(count)]

    def statement(self, depth: int, calm: bool) -> Data:
        rng = self.rng
        calm_kinds = {"status": 2, "see": 2, "start": 2, "patched": 2, "raise": 0.3, "return": 0.3}
        kinds: dict[str, float] = dict(calm_kinds)
        if not calm:
            kinds |= {"yield": 14, "observe": 1, "window": 1.5, "continue_as_new": 0.3}
            kinds |= {"yield_value": 0.05} if self.rare() else {}
        if depth > 0:
            kinds |= {"try": 3, "if": 1, "repeat": 1}
        else:
            kinds.pop("patched")
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        return self.of_kind(kind, depth, calm)

    def of_kind(self, kind: str, depth: int, calm: bool) -> Data:
        rng = self.rng
        it: Data = {"do": kind}
        if kind == "yield":
            it["task"] = self.task(2)
        elif kind == "start":
            it["into"] = self.new_name()
            it["task"] = self.task(1)
        elif kind == "observe":
            it["name"] = self.any_name()
        elif kind == "window":
            it["size"] = rng.randint(1, 3)
            it["of"] = [self.task(0) for _ in range(rng.randint(2, 5))]
        elif kind in ("status", "see", "yield_value"):
            text = kind == "status" and self.chance(0.7)
            it["value"] = rng.choice([*TEXTS[:-1], None]) if text else self.value(2)
        elif kind == "try":
            it["body"] = self.statements(rng.randint(1, 3), depth - 1, calm)
            it["catch"] = self.statements(rng.randint(0, 2), depth - 1, calm)
            if self.chance(0.2):
                it["finally"] = [self.of_kind(rng.choice(["status", "see", "start"]), 0, True)]
        elif kind == "repeat":
            it["times"] = rng.randint(2, 4)
            it["body"] = self.statements(rng.randint(1, 2), depth - 1, calm)
        elif kind in ("if", "patched"):
            if kind == "patched":
                it["name"] = rng.choice(["fix-1", "fix-2", "ülk"])
            else:
                it["value"] = rng.choice([{"$": "last"}, {"$": "input"}])
            it["then"] = self.statements(rng.randint(1, 2), depth - 1, calm)
            it["else"] = self.statements(rng.randint(0, 2), depth - 1, calm)
        else:
            ending = self.ending()
            while ending["do"] != kind:
                ending = self.ending()
            return ending
        return it

    # Tasks

    def task(self, depth: int) -> Data:
        kinds = {
            "activity": 10.0,
            "timer": 3,
            "event": 4,
            "sub": 3,
            "kept": 1.5 if self.kept else 0,
        }
        if depth > 0:
            kinds |= {"all": 4, "any": 4}
        kind = self.rng.choices(list(kinds), list(kinds.values()))[0]
        if kind in ("all", "any"):
            return self.composite(kind, depth)
        return getattr(self, f"{kind}_task")()  # type: ignore[no-any-return]

    def composite(self, kind: str, depth: int) -> Data:
        rng = self.rng
        least = 0 if self.rare() else 1
        of = [self.task(depth - 1) for _ in range(rng.randint(least, 4))]
        if kind == "any" and self.chance(0.3):
            of.append(self.timer_task())
        return {"task": kind, "of": of}

    def activity_task(self) -> Data:
        rng = self.rng
        if self.chance(0.2):
            if self.rare():
                # Two wrong arguments at once would leave open which of them is told.
                return {"task": "activity", "function": "lambda", "input": 1}
            function = rng.choice(["alpha", "beta"])
            return {"task": "activity", "function": function, **self.options()}
        return {"task": "activity", "name": rng.choice(ACTIVITIES), **self.options()}

    def sub_task(self) -> Data:
        it: Data = {"task": "sub", "name": self.rng.choice(["child", "boom", "flaky"])}
        if self.chance(0.3):
            it["instance_id"] = self.rng.choice(["child-1", "größe/7"])
        return {**it, **self.options()}

    def options(self) -> Data:
        options: Data = {}
        if self.chance(0.7):
            options["input"] = {"$": "unwritable"} if self.rare() else self.value(2)
        if self.chance(0.25):
            options["retry"] = self.policy()
        if self.chance(0.1):
            options["app_id"] = self.rng.choice(["other-app", ""])
        return options

    def policy(self) -> Data:
        rng = self.rng
        policy: Data = {
            "first_retry_interval": rng.choice(SECONDS),
            "max_number_of_attempts": rng.randint(1, 4),
        }
        if self.chance(0.6):
            policy["backoff_coefficient"] = rng.choice([1, 1.0, 1.1, 2, 2.5, 3.333, None])
        if self.chance(0.4):
            policy["max_retry_interval"] = rng.choice(SECONDS)
        if self.rare() or self.chance(0.05):
            policy["retry_timeout"] = rng.choice(SECONDS)
        if self.chance(0.4):
            names = ["ValueError", "!ValueError", "!KeyError", "value", "Fatal", ""]
            policy["non_retryable_error_types"] = rng.sample(names, rng.randint(0, 3))
        return policy

    def timer_task(self) -> Data:
        if self.rare():
            return {"task": "timer", "due": self.rng.choice(["soon", None, 5])}
        seconds = self.rng.choice([*SECONDS, -5])
        if self.chance(0.6):
            return {"task": "timer", "after": seconds}
        it = {"task": "timer", "at": seconds}
        return {**it, "zone": self.rng.choice([0, 2, -5.5])} if self.chance(0.4) else it

    def event_task(self) -> Data:
        name = self.rng.choice(EVENTS)
        return {"task": "event", "name": self.rng.choice([name, name.lower(), name.upper()])}

    def kept_task(self) -> Data:
        return {"task": "kept", "name": self.any_name()}

    def new_name(self) -> str:
        self.kept += 1
        return f"t{self.kept}"

    def any_name(self) -> str:
        return f"t{self.rng.randint(1, self.kept)}" if self.kept else "t1"

    # Values

    def value(self, depth: int) -> Any:
        """A value, by odds of its own: half of them are computed, or objects of classes."""
        rng = self.rng
        if self.chance(0.45) or depth == 0:
            return json_value(rng, depth)
        kind = rng.choice(["draw", "draw", "last", "input", "object", "tuple", "seen", "list"])
        if kind == "draw":
            return {"$": "draw", "what": rng.choice(DRAWS)}
        if kind == "tuple":
            return {"$": "tuple", "of": [self.value(depth - 1) for _ in range(2)]}
        if kind == "list":
            return [self.value(depth - 1) for _ in range(2)]
        if kind != "object":
            return {"$": kind}
        kind = rng.choice(["point", "pair", "namespace"])
        # What stands inside may have named fields as well, which 0.17.4 loses.
        inner = [self.value(depth - 1) if self.rare() else json_value(rng, 1) for _ in range(2)]
        if kind == "point":
            return {"$": "point", "x": inner[0], "y": inner[1]}
        if kind == "pair":
            return {"$": "pair", "left": inner[0], "right": inner[1]}
        return {"$": "namespace", "of": {"first": inner[0], "größe": inner[1]}}


def json_value(rng: random.Random, depth: int) -> Any:
    kind = rng.choice(
        ["text", "number", "constant", "list", "dict"] if depth else ["text", "number"]
    )
    if kind == "text":
        return rng.choice(TEXTS)
    if kind == "number":
        return rng.choice(NUMBERS) if rng.random() < 0.7 else rng.uniform(-1e6, 1e6)
    if kind == "constant":
        return rng.choice([None, True, False, [], {}, ""])
    if kind == "list":
        return [json_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return {rng.choice(KEYS): json_value(rng, depth - 1) for _ in range(rng.randint(0, 3))}


def json_text(rng: random.Random) -> str | None:
    """A payload as activities and clients write it; one in twenty is absent."""
    if rng.random() < 0.05:
        return None
    value = json_value(rng, 3)
    if rng.random() < 0.1:
        value = {"left": value, "__durabletask_autoobject__": True}
    if rng.random() < 0.1:
        return json.dumps(value, separators=(",", ":"), ensure_ascii="\\ud83d" in repr(value))
    return json.dumps(value)
