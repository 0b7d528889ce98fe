"""What replaying takes in memory beyond the message: a chain of 100,000 activities, ours and the reference.

Each replays in a process of its own, which has read the message and replayed a short history before, so that imports
and the message itself do not count. What counts is the peak of resident memory, as the kernel sees it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from peers import BenchError, contestants
from replay import add_interpreter_options, interpreters
from workloads import WORKLOADS, Workload

RESOLUTION = 64 * 4_096
"""What Linux counts for each thread before it adds it up: growth of less than this many bytes may not be seen."""


def compare(pythons: dict[str, Path], workload: Workload, steps: int) -> dict[str, Any]:
    """Measure ours, and the reference if it is among the interpreters; return megabytes (10^6 bytes)."""
    taking_part = {kind: python for kind, python in pythons.items() if kind in ("ours", "dapr")}
    with contestants(taking_part) as running:
        sizes = {kind: contestant.memory(workload, steps) for kind, contestant in running.items()}
    result = {
        "workload": workload.name,
        "steps": steps,
        "message_mb": round(sizes["ours"]["message"] / 1e6, 2),
        "ours_above_message_mb": round(sizes["ours"]["above"] / 1e6, 2),
    }
    if "dapr" in sizes:
        result["reference_above_message_mb"] = round(sizes["dapr"]["above"] / 1e6, 2)
        # At least: what was not seen counts as the most that it can be.
        result["ratio"] = round(sizes["dapr"]["above"] / max(sizes["ours"]["above"], RESOLUTION), 1)
        result["resolution_mb"] = round(RESOLUTION / 1e6, 2)
    return result


def line(result: dict[str, Any]) -> str:
    """A result as a sentence for people."""
    said = (
        f"{result['workload']} of {result['steps']:,} steps, a message of {result['message_mb']} MB: at its peak ours "
        f"takes {result['ours_above_message_mb']} MB more"
    )
    if "ratio" in result:
        said += f", the reference {result['reference_above_message_mb']} MB: at least {result['ratio']} times as much"
    return said


def main() -> None:
    """Measure, and print a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--workload", choices=WORKLOADS, default="chain")
    parser.add_argument("--steps", type=int, default=100_000)
    add_interpreter_options(parser)
    arguments = parser.parse_args()
    arguments.no_microsoft = True
    try:
        found = compare(interpreters(arguments), WORKLOADS[arguments.workload], arguments.steps)
    except BenchError as error:
        sys.exit(f"benches/memory.py: {error}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
