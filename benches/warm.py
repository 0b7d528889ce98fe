"""What a turn costs when the orchestrator is still alive, by the length of its history: nothing more, it should be.

A chain waits for its next activity; each turn brings that activity's result, and asks for one more. Sidecars since
Dapr 1.18 send what is new (`delta`), all others the whole history each time (`whole`), which then has to be recognized.
Beside them the same turns are replayed from the start (`cold`), which is what a worker without live orchestrators does.

The door is `durabletask.replay.Replayer` with `replay_cache`. Of many turns the least counts, in processor time. The
turns of all kinds and lengths take turns, so that a busy machine is busy for all of them.
"""

from __future__ import annotations

import argparse
import json
import struct
import tempfile
import time
from pathlib import Path
from typing import Any

import inside
from histories import History
from replay import add_interpreter_options, interpreters
from support import wire

SHORT, LONG = 100, 10_000
KINDS = ("delta", "whole", "cold")
TURNS = {"delta": 200, "whole": 60, "cold": 20}
NEVER = 1_000_000
"""Steps after which the chain would complete."""


def requests(kind: str, steps: int, turns: int) -> list[bytes]:
    """The request of the turn that gets the orchestrator so far, and those of the turns that are measured."""
    history = History("dapr", "chain", NEVER)
    for number in range(steps):
        action = history.call(number)
        history.turn().completed(action, f"Hello customer {number}!")
    made = [history.encode()]
    for number in range(steps, steps + turns):
        action = history.call(number)
        history.turn().completed(action, f"Hello customer {number}!")
        made.append(history.encode(delta=kind == "delta"))
    return made


def measure(python: Path) -> dict[str, Any]:
    """Measure all kinds of turns at both lengths; return microseconds, and what follows from them."""
    with tempfile.TemporaryDirectory() as directory:
        series = []
        for kind in KINDS:
            for steps in (SHORT, LONG):
                path = Path(directory) / f"{kind}-{steps}"
                write_requests(path, requests(kind, steps, TURNS[kind]))
                series.append({"kind": kind, "steps": steps, "path": str(path)})
        found = inside.call(python, __file__, {"series": series})
    result = {**found, "short_steps": SHORT, "long_steps": LONG}
    result["delta_growth"] = round(found[f"delta_{LONG}_us"] / found[f"delta_{SHORT}_us"], 3)
    result["whole_ratio"] = round(found[f"cold_{LONG}_us"] / found[f"whole_{LONG}_us"], 1)
    result["delta_ratio"] = round(found[f"cold_{LONG}_us"] / found[f"delta_{LONG}_us"], 1)
    result["whole_gb_per_s"] = round(
        found[f"whole_{LONG}_bytes"] / found[f"whole_{LONG}_us"] / 1e3, 2
    )
    return result


def lines(result: dict[str, Any]) -> list[str]:
    """A result as sentences for people."""
    said = [
        f"{kind:<5} history of {steps:>6,} steps: {result[f'{kind}_{steps}_us']:>9,.1f} µs a turn"
        for kind in KINDS
        for steps in (SHORT, LONG)
    ]
    said.append(
        f"only what is new: a turn at {LONG:,} steps costs {result['delta_growth']} of one at {SHORT:,}, and is "
        f"{result['delta_ratio']:,} times faster than replaying the history"
    )
    said.append(
        f"whole histories: a turn at {LONG:,} steps is {result['whole_ratio']} times faster than replaying them; "
        f"they are recognized at {result['whole_gb_per_s']} GB/s, all else included"
    )
    return said


def time_turns(task: dict[str, Any]) -> dict[str, Any]:
    """Under the interpreter with ours: play the turns, and return the least times."""
    from durabletask.replay import Replayer
    from durabletask.worker import ReplayCacheOptions

    from orchestrators import chain

    series = task["series"]
    live = ReplayCacheOptions()
    best: dict[str, float] = {}
    for each in series:
        cache = None if each["kind"] == "cold" else live
        each["replayer"] = Replayer([chain], replay_cache=cache)
        each["requests"] = read_requests(Path(each["path"]))
        each["replayer"].execute(each["requests"].pop(0))
        each["name"] = f"{each['kind']}_{each['steps']}"
        best[f"{each['name']}_us"] = float("inf")
        best[f"{each['name']}_bytes"] = len(each["requests"][-1])
    clock = time.process_time_ns
    for turn in range(max(TURNS.values())):
        for each in series:
            if turn >= len(each["requests"]):
                continue
            execute, request = each["replayer"].execute, each["requests"][turn]
            start = clock()
            each["response"] = execute(request)
            taken = (clock() - start) / 1e3
            best[f"{each['name']}_us"] = min(best[f"{each['name']}_us"], taken)
    for each in series:
        _check(each)
    return best


def write_requests(path: Path, made: list[bytes]) -> None:
    """Put requests into a file."""
    path.write_bytes(b"".join(struct.pack("<I", len(each)) + each for each in made))


def read_requests(path: Path) -> list[bytes]:
    """Take them out again."""
    data, position, found = path.read_bytes(), 0, []
    while position < len(data):
        (size,) = struct.unpack_from("<I", data, position)
        found.append(data[position + 4 : position + 4 + size])
        position += 4 + size
    return found


def _check(each: dict[str, Any]) -> None:
    """All turns were warm, or all were cold, and the last one asks for the activity that comes next."""
    turns = len(each["requests"])
    hits = 0 if each["kind"] == "cold" else turns
    found = each["replayer"].replay_cache_counters.get("hits", 0)
    assert found == hits, f"{each['name']}: expected {hits} warm turns, found {found}"
    asked_for = wire.number(each["response"], 2, 1)
    assert asked_for == each["steps"] + turns + 1, f"{each['name']}: asks for action {asked_for}"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="a JSON object")
    add_interpreter_options(parser)
    arguments = parser.parse_args()
    arguments.no_peers = True
    result = measure(interpreters(arguments)["ours"])
    print(json.dumps(result) if arguments.json else "\n".join(lines(result)))


if __name__ == "__main__":
    inside.serve(time_turns, main)
