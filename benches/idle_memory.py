"""What a live orchestrator takes in memory while it waits for its next turn, by how much it has been through.

Many chains are brought to where they wait for another activity, and stay alive in one replay cache: by one turn that
replays the whole history (`at once`), or by as many turns as there are steps, which bring only what is new (`by
turns`). Growth of the process's resident memory, divided by their number, is what one of them keeps: kilobytes for its
frame, its context and the engine's state, and none of its history.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from pathlib import Path
from typing import Any

import inside
from histories import INSTANCE
from peers import BenchError
from replay import add_interpreter_options, interpreters
from warm import read_requests, requests, write_requests

INSTANCES = 500
FIRST = 100
"""Instances that are there before memory is looked at: what all of them share has been made for these."""
CASES = (("at once", 100), ("at once", 10_000), ("by turns", 100), ("by turns", 2_000))


def measure(python: Path, instances: int) -> dict[str, Any]:
    """Measure all cases, each in a process of its own; return bytes for each instance."""
    found: dict[str, Any] = {"instances": instances, "cases": []}
    for how, steps in CASES:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "requests"
            made = requests("whole", steps, 0) if how == "at once" else requests("delta", 0, steps)
            write_requests(path, made)
            task = {"path": str(path), "instances": instances}
            sizes = inside.call(python, __file__, task)
        found["cases"].append({"how": how, "steps": steps, **sizes})
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """Results as sentences for people."""
    return [
        f"{case['steps']:>6,} steps {case['how']:<8}: {case['bytes'] / 1e3:>6.1f} kB for each of {found['instances']} "
        f"instances, estimated at {case['estimate'] / 1e3:.1f}"
        for case in found["cases"]
    ]


def keep_alive(task: dict[str, Any]) -> dict[str, Any]:
    """Under the interpreter with ours: bring instances to where they wait, and see what they take."""
    from durabletask.replay import Replayer
    from durabletask.worker import ReplayCacheOptions

    from orchestrators import chain

    turns = read_requests(Path(task["path"]))
    instances = task["instances"]
    replayer = Replayer([chain], replay_cache=ReplayCacheOptions(max_instances=instances + FIRST))
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
