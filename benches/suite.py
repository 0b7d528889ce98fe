"""The whole bench: every workload at every length, memory, and the files in `results`. `make bench` runs it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import gil
import idle_memory
import memory
import replay
import report
import warm
from peers import ROOT, BenchError, contestants
from workloads import WORKLOADS

LENGTHS = (100, 1_000, 10_000, 100_000)


def lengths(workload: str, longest: int) -> list[int]:
    """The numbers of steps at which a workload is measured."""
    return [steps for steps in LENGTHS if steps <= min(longest, WORKLOADS[workload].limit)]


def machine() -> dict[str, Any]:
    """What it ran on."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    described: dict[str, Any] = {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    described["load_at_start"] = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return described


def revision() -> str | None:
    """The commit that is measured; `+` if files differ from it. None without git."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure all there is."""
    found: dict[str, Any] = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "revision": revision(),
    }
    pythons = replay.interpreters(arguments)
    results: report.Results = []
    with contestants(pythons) as running:
        found["contestants"] = {
            replay.NAMES[kind]: contestant.about for kind, contestant in running.items()
        }
        for name in arguments.workloads:
            for steps in lengths(name, arguments.longest):
                result = replay.measure(
                    running, WORKLOADS[name], steps, arguments.rounds, arguments.seconds
                )
                print(replay.line(result), flush=True)
                results.append(result)
    found["results"] = results
    found["growth_exponents"] = report.exponents(results)
    steps = min(max(LENGTHS), arguments.longest)
    ours = pythons["ours"]
    found["memory"] = memory.compare(pythons, WORKLOADS["chain"], steps)
    found["warm_turns"] = warm.measure(ours)
    found["idle_memory"] = idle_memory.measure(ours, idle_memory.INSTANCES)
    found["heartbeat_and_overlap"] = gil.measure(pythons, steps, arguments.seconds)
    print("\n".join(notes(found)), flush=True)
    return found


def notes(found: dict[str, Any]) -> list[str]:
    """What was measured beside the workloads, as sentences."""
    return [
        memory.line(found["memory"]),
        *warm.lines(found["warm_turns"]),
        *idle_memory.lines(found["idle_memory"]),
        *gil.lines(found["heartbeat_and_overlap"]),
    ]


def write(found: dict[str, Any], directory: Path) -> None:
    """Write the results, the table and the plot."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "replay.json").write_text(json.dumps(found, indent=1) + "\n")
    machine = found["machine"]
    where = f"{machine['processor']}, one core of {machine['cores']}, {machine['system']}"
    packages = [
        f"- {name}: {', '.join(f'{package} {version}' for package, version in about.items())}"
        for name, about in found["contestants"].items()
    ]
    text = [
        "# Replay",
        "",
        "Written by `make bench`: milliseconds of processor time for one replay, the least of as many",
        "as the slowest has made meanwhile; the ratio of the medians of the same replays stands beside.",
        "What is measured, and how, stands in `benches/replay.py`. A step is:",
        "",
        *dict.fromkeys(f"- {each['workload']}: {each['step']}" for each in found["results"]),
        "",
        f"{found['date']}, revision {found['revision']}, {where}, load {machine['load_at_start']}:",
        "",
        *packages,
        "",
        report.table(found["results"]),
        "## Memory, turns of live orchestrators, and other threads",
        "",
        "By `benches/memory.py`, `warm.py`, `idle_memory.py` and `gil.py`, each of which says what it measures:",
        "",
        *(f"- {' '.join(note.split())}" for note in notes(found)),
        "",
        "![Milliseconds over steps, and ratios](replay.svg)",
    ]
    (directory / "replay.md").write_text("\n".join(text) + "\n")
    (directory / "replay.svg").write_text(report.plot(found["results"]))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument(
        "--longest", type=int, default=100_000, help="leave out what has more steps"
    )
    parser.add_argument("--results", type=Path, default=ROOT / "benches" / "results")
    replay.add_interpreter_options(parser)
    arguments = parser.parse_args()
    try:
        found = run(arguments)
    except BenchError as error:
        sys.exit(f"benches/suite.py: {error}")
    write(found, arguments.results)
    print()
    print(report.table(found["results"]))
    print(f"written to {arguments.results}: replay.json, replay.md, replay.svg")


if __name__ == "__main__":
    main()
