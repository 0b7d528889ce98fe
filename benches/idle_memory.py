"""What a live orchestrator takes in memory while it waits for its next turn, by how much it has been through.

Many orchestrators are brought to where they wait, and stay alive in one replay cache: a chain by one turn that replays
the whole history (`at once`), or by as many turns as there are steps, which bring only what is new (`by turns`); or one
that has gathered so many activities and waits for an event (`fan-out`). Growth of the process's resident memory,
divided by their number, is what one of them keeps: kilobytes for its frame, its context and the engine's state, and
none of its history.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from pathlib import Path
from typing import Any

import inside
from histories import INSTANCE, History
from peers import BenchError
from replay import add_interpreter_options, interpreters
from warm import read_requests, requests, write_requests
from workloads import COMPLETIONS_PER_TURN

INSTANCES = 500
FIRST = 100
"""Instances that are there before memory is looked at: what all of them share has been made for these."""


def case(how: str, steps: int) -> list[bytes]:
    """The requests of the turns that bring an orchestrator to where it waits."""
    if how == "by turns":
        return requests("delta", 0, steps)
    if how == "at once":
        return requests("whole", steps, 0)
    history = History("dapr", "fan_out_and_wait", steps)
    actions = [history.call(number) for number in range(steps)]
    for number, action in enumerate(actions):
        # What is new in its last turn is kept for the next, so that is little.
        if number % COMPLETIONS_PER_TURN == 0:
            history.turn()
        history.completed(action, number)
    return [history.encode()]


CASES = tuple((how, steps) for how in ("at once", "by turns", "fan-out") for steps in (100, 10_000))


def measure(python: Path, instances: int) -> dict[str, Any]:
    """Measure all cases, each in a process of its own; return bytes for each instance."""
    found: dict[str, Any] = {"instances": instances, "cases": []}
    for how, steps in CASES:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "requests"
            write_requests(path, case(how, steps))
            task = {"path": str(path), "instances": instances}
            sizes = inside.call(python, __file__, task)
        found["cases"].append({"how": how, "steps": steps, **sizes})
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """Results as sentences for people."""
    return [
        f"{case['steps']:>6,} steps {case['how']:<9}: {case['bytes'] / 1e3:>6.1f} kB for each of {found['instances']} "
        f"instances, estimated at {case['estimate'] / 1e3:.1f}"
        for case in found["cases"]
    ]


def keep_alive(task: dict[str, Any]) -> dict[str, Any]:
    """Under the interpreter with ours: bring instances to where they wait, and see what they take."""
    from durabletask.replay import Replayer
    from durabletask.worker import ReplayCacheOptions

    from orchestrators import chain, fan_out_and_wait

    turns = read_requests(Path(task["path"]))
    instances = task["instances"]
    options = ReplayCacheOptions(max_instances=instances + FIRST)
    replayer = Replayer([chain, fan_out_and_wait], replay_cache=options)
    placeholder = INSTANCE.encode()

    def play(numbers: range) -> None:
        for turn in turns:
            for number in numbers:
                replayer.execute(turn.replace(placeholder, b"%032x" % number))

    play(range(FIRST))
    before = resident()
    play(range(FIRST, FIRST + instances))
    grown = resident() - before
    counters = replayer.replay_cache_counters
    alive = counters["instances"]
    assert alive == FIRST + instances, f"{alive} instances are alive, not {FIRST + instances}"
    return {"bytes": grown // instances, "estimate": counters["bytes"] // alive}


def resident() -> int:
    """The resident size of this process, in bytes, when it holds nothing that it could let go of."""
    gc.collect()
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1_024
    raise BenchError("the size of a process can be told on Linux only")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--instances", type=int, default=INSTANCES)
    parser.add_argument("--json", action="store_true", help="a JSON object")
    add_interpreter_options(parser)
    arguments = parser.parse_args()
    arguments.no_peers = True
    found = measure(interpreters(arguments)["ours"], arguments.instances)
    print(json.dumps(found) if arguments.json else "\n".join(lines(found)))


if __name__ == "__main__":
    inside.serve(keep_alive, main)
