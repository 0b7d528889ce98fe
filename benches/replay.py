"""What replaying costs: a serialized request in, a serialized response out.

The whole history is new to the engine each time: decoded, matched against what the orchestrator does, answered. Ours is
`durabletask.replay.Replayer.execute`, nothing else. The reference is durabletask-dapr 0.17.4, in an environment of its
own that is set up at the first use, and so is Microsoft's durabletask; the bare generator is the same orchestrator,
resumed with values that are ready, without any engine. All of them replay the same orchestrator, take turns on one
core, and must get to the expected result. Of each, the quickest replay counts, of as many replays as whoever made the
fewest has made, since the least of many is less than the least of few. The medians of the same replays stand beside.

What counts is processor time, so that what else the machine does matters little: by the clock, a long replay is always
interrupted on a busy machine and a short one is not, which flatters whoever is quick. On a quiet machine both are the
same; results have the clock's minima too (`…_wall_ms`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from peers import BenchError, Contestant, contestants, our_python, peer_python, replayed_by
from workloads import WORKLOADS, Workload

SLICE = 0.25
"""Seconds for which a contestant replays before the next one's turn: the same for all, unless one replay is longer."""
MIN_ROUNDS = 7
NAMES = {"ours": "ours", "dapr": "reference", "microsoft": "microsoft", "generator": "generator"}
"""What the contestants are called in results."""


def measure(
    running: dict[str, Contestant],
    workload: Workload,
    steps: int,
    rounds: int | None = None,
    seconds: float = 3.0,
) -> dict[str, Any]:
    """Replay one history with all contestants, in turns.

    Args:
        running: the contestants; "ours" is one of them.
        workload: what to replay.
        steps: how much of it.
        rounds: how often each has its turn; None: as often as fits.
        seconds: how long that is, for all of them together. Each has seven turns at least.

    Returns:
        The times in milliseconds of processor time and by the clock, and what follows from the former.
    """
    result: dict[str, Any] = {"workload": workload.name, "steps": steps, "step": workload.step}
    taking_part: dict[str, Contestant] = {}
    for kind, contestant in running.items():
        if kind in workload.without:
            continue
        if kind in ("dapr", "microsoft") and steps > workload.peer_limit:
            result[f"{NAMES[kind]}_left_out"] = (
                f"would take too long for more than {workload.peer_limit:,} steps"
            )
            continue
        contestant.load(replayed_by(kind, workload), steps)
        taking_part[kind] = contestant
    times: dict[str, list[int]] = {kind: [] for kind in taking_part}
    wall_times: dict[str, list[int]] = {kind: [] for kind in taking_part}
    until = time.monotonic() + seconds
    played = 0
    while played < (rounds or MIN_ROUNDS) or (rounds is None and time.monotonic() < until):
        played += 1
        for kind, contestant in taking_part.items():
            taken = contestant.round(SLICE)
            times[kind] += taken["processor"]
            wall_times[kind] += taken["clock"]
    count = min(len(measured) for measured in times.values())
    times = {kind: spread(measured, count) for kind, measured in times.items()}
    wall_times = {kind: spread(measured, count) for kind, measured in wall_times.items()}
    best = {kind: min(measured) / 1e6 for kind, measured in times.items()}
    medians = {kind: statistics.median(measured) / 1e6 for kind, measured in times.items()}
    for kind, milliseconds in best.items():
        result[f"{NAMES[kind]}_ms"] = round(milliseconds, 4)
        result[f"{NAMES[kind]}_wall_ms"] = round(min(wall_times[kind]) / 1e6, 4)
        result[f"{NAMES[kind]}_median_ms"] = round(medians[kind], 4)
    result["replays"] = count
    if "dapr" in medians:
        result["median_ratio"] = round(medians["dapr"] / medians["ours"], 2)
    result["microseconds_per_step"] = round(best["ours"] * 1e3 / steps, 4)
    if "dapr" in best:
        result["ratio"] = round(best["dapr"] / best["ours"], 2)
    if "microsoft" in best:
        result["ratio_to_microsoft"] = round(best["microsoft"] / best["ours"], 2)
    if "generator" in best:
        result["ratio_to_generator"] = round(best["ours"] / best["generator"], 2)
    result["rounds"] = played
    return result


def spread(measured: list[int], count: int) -> list[int]:
    """So many of the measurements, from all of the time."""
    return [measured[place * len(measured) // count] for place in range(count)]


def interpreters(arguments: argparse.Namespace) -> dict[str, Path]:
    """The contestants that were asked for, and their interpreters."""
    ours: Path = arguments.python or our_python()
    found = {"ours": ours, "generator": ours}
    if not arguments.no_peers:
        found["dapr"] = arguments.reference_python or peer_python("dapr", ours)
        if not arguments.no_microsoft:
            found["microsoft"] = arguments.microsoft_python or peer_python("microsoft", ours)
    return found


def add_interpreter_options(parser: argparse.ArgumentParser) -> None:
    """Let the command line say who takes part, and where."""
    parser.add_argument("--python", type=Path, help="interpreter that has this project")
    parser.add_argument("--no-peers", action="store_true", help="without the other packages")
    parser.add_argument(
        "--no-microsoft", action="store_true", help="without Microsoft's durabletask"
    )
    parser.add_argument(
        "--reference-python", type=Path, help="interpreter that has durabletask-dapr"
    )
    parser.add_argument(
        "--microsoft-python", type=Path, help="interpreter that has Microsoft's durabletask"
    )
    parser.add_argument("--rounds", type=int, help="rounds for each length; default: by time")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="seconds for each length, default: 3"
    )


def line(result: dict[str, Any]) -> str:
    """A result as a line for people."""
    columns = [
        f"{result['workload']:<19}",
        f"{result['steps']:>7,} steps",
        f"{result['microseconds_per_step']:>8.3f} µs/step",
        f"{result['ours_ms']:>10.3f} ms",
    ]
    if "reference_ms" in result:
        columns.append(f"reference {result['reference_ms']:>10.2f} ms = {result['ratio']:>6.1f} x")
    if "microsoft_ms" in result:
        ratio = result["ratio_to_microsoft"]
        columns.append(f"microsoft {result['microsoft_ms']:>10.2f} ms = {ratio:>6.1f} x")
    if "generator_ms" in result:
        ratio = result["ratio_to_generator"]
        columns.append(f"generator {result['generator_ms']:>8.3f} ms, {ratio:>5.2f} of it")
    return "  ".join(columns)


def main() -> None:
    """Measure one workload at the given lengths."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--workload", choices=WORKLOADS, default="chain")
    parser.add_argument("--steps", nargs="+", type=int, default=[100, 1_000, 10_000])
    parser.add_argument("--json", action="store_true", help="a JSON object for each length")
    add_interpreter_options(parser)
    arguments = parser.parse_args()
    if min(arguments.steps) < 1:
        parser.error("--steps must be at least 1")
    try:
        with contestants(interpreters(arguments)) as running:
            for steps in arguments.steps:
                workload = WORKLOADS[arguments.workload]
                result = measure(running, workload, steps, arguments.rounds, arguments.seconds)
                print(json.dumps(result) if arguments.json else line(result), flush=True)
    except BenchError as error:
        sys.exit(f"benches/replay.py: {error}")


if __name__ == "__main__":
    main()
