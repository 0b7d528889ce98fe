"""Sidecars under load: this project's, in memory and on a file, beside another program where one is given.

The load comes from a program of its own (`rust/sidecar/benches`) in which worker and client cost next to nothing, so
that what is measured is the sidecar. Every load has a sidecar of its own with nothing in it. The same program, the same
messages and the same machine for all; of several rounds the median counts.

- `per_s`: instances a second, from the first call to the last answer.
- `cpu_us_per_step`: processor time of the sidecar's process, user and system, for each turn that it handed out.
- `peak_mb`: the most memory that the sidecar's process has had, as the system accounts for it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet import Sidecar, SidecarChoice
from peers import HERE, BenchError, our_python

RESULTS = HERE / "results"
PROGRAM = HERE.parent / "target" / "release" / "sidecar-load"


@dataclass(frozen=True)
class Work:
    """A load: what each instance does, how many there are, how many of them at once."""

    name: str
    workload: str
    instances: int
    concurrency: int
    steps: int = 0

    def scaled(self, share: float) -> Work:
        """The same with fewer instances, or with fewer steps where there is but one instance."""
        if self.instances == 1:
            return Work(self.name, self.workload, 1, 1, max(1, round(self.steps * share)))
        instances = max(1, round(self.instances * share))
        return Work(self.name, self.workload, instances, self.concurrency, self.steps)


WORKS = (
    Work("chains of 10, one at a time", "chain", 200, 1, 10),
    Work("chains of 10, 50 at once", "chain", 1_000, 50, 10),
    Work("chains of 10, 500 at once", "chain", 2_000, 500, 10),
    Work("fan-out of 1,000", "fan-out", 5, 1, 1_000),
    Work("a chain of 5,000", "chain", 1, 1, 5_000),
    Work("10,000 waits for an event", "wait", 10_000, 500),
    Work("100,000 open instances", "open", 100_000, 500),
)
GROWTH = (
    (
        Work("a chain of 10,000", "chain", 1, 1, 10_000),
        Work("a chain of 100,000", "chain", 1, 1, 100_000),
    ),
    (
        Work("10,000 open instances", "open", 10_000, 500),
        Work("100,000 open instances", "open", 100_000, 500),
    ),
)
"""Pairs of which the second is ten times the first."""


def build() -> None:
    """Compile the program that makes the load."""
    command = [
        "cargo",
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--package",
        "durabletask-sidecar-benches",
    ]
    if subprocess.run(command, cwd=HERE.parent, check=False).returncode:
        raise BenchError(f"{shlex.join(command)} failed")


def once(choice: SidecarChoice, work: Work, timeout: float) -> dict[str, Any] | None:
    """Run a load on a sidecar of its own; return what it took. None: another's was not done in time."""
    with choice.start() as sidecar:
        before = sidecar.processor_seconds()
        command = [str(PROGRAM), "--address", sidecar.address, "--workload", work.workload]
        command += ["--instances", str(work.instances), "--concurrency", str(work.concurrency)]
        command += ["--steps", str(work.steps), "--timeout", str(int(timeout))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and not choice.embedded and "not done after" in done.stderr:
            return None
        if done.returncode:
            raise BenchError(f"{work.name} on {choice.name}: {done.stderr.strip()}")
        found: dict[str, Any] = json.loads(done.stdout)
        after = sidecar.processor_seconds()
        found["per_s"] = work.instances / found["wall_s"]
        if before is not None and after is not None:
            found["cpu_us_per_step"] = (after - before) / found["turns"] * 1e6
        found["peak_mb"] = peak_megabytes(sidecar)
        return found


def peak_megabytes(sidecar: Sidecar) -> float | None:
    """The most memory that the process has had; None where the system does not tell."""
    status = Path(f"/proc/{sidecar.pid}/status")
    if sidecar.pid is None or not status.exists():
        return None
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return None


def median(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each measure."""
    found: dict[str, Any] = {"turns": rounds[-1]["turns"], "activities": rounds[-1]["activities"]}
    for name in ("wall_s", "per_s", "cpu_us_per_step", "peak_mb"):
        measured = [each[name] for each in rounds if each.get(name) is not None]
        found[name] = round(statistics.median(measured), 3) if measured else None
    p50 = [each["latency_ms"]["p50"] for each in rounds if each["latency_ms"]["p50"] is not None]
    p99 = [each["latency_ms"]["p99"] for each in rounds if each["latency_ms"]["p99"] is not None]
    found["latency_p50_ms"] = round(statistics.median(p50), 3) if p50 else None
    found["latency_p99_ms"] = round(statistics.median(p99), 3) if p99 else None
    return found


def compare(
    choices: dict[str, SidecarChoice], work: Work, rounds: int, timeout: float
) -> dict[str, Any]:
    """Run a load on all sidecars, in turns."""
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in choices}
    for _ in range(rounds):
        for name, choice in choices.items():
            taken = once(choice, work, timeout)
            wall = f"not done in {timeout:g} s" if taken is None else f"{taken['wall_s']:.2f} s"
            print(f"  {work.name}, {name}: {wall}", file=sys.stderr, flush=True)
            if taken is not None:
                measured[name].append(taken)
    return {name: median(taken) for name, taken in measured.items() if taken}


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All loads on all sidecars that were asked for."""
    build()
    python = arguments.python or our_python()
    ours = {
        "memory": SidecarChoice(python),
        "file": SidecarChoice(python, on_file=True),
    }
    choices = dict(ours)
    if arguments.other:
        choices["other memory"] = SidecarChoice(
            python, command=f"{arguments.other} {arguments.other_memory}"
        )
        choices["other file"] = SidecarChoice(
            python, command=f"{arguments.other} {arguments.other_file}"
        )
    found: dict[str, Any] = {
        "other": Path(shlex.split(arguments.other)[0]).name if arguments.other else None,
        "processors": os.cpu_count(),
        "sidecars": list(choices),
        "timeout_s": arguments.timeout,
        "loads": {},
        "growth": [],
    }
    for work in WORKS:
        if not arguments.only or arguments.only in work.name:
            scaled = work.scaled(arguments.scale)
            found["loads"][work.name] = compare(
                choices, scaled, arguments.rounds, arguments.timeout
            )
            found["loads"][work.name]["instances"] = scaled.instances
    if not arguments.only:
        for small, large in GROWTH:
            pair = (small.scaled(arguments.scale), large.scaled(arguments.scale))
            memory = {"memory": ours["memory"]}
            taken = [
                compare(memory, work, arguments.rounds, arguments.timeout)["memory"]
                for work in pair
            ]
            times = taken[1]["wall_s"] / taken[0]["wall_s"]
            found["growth"].append(
                {"from": small.name, "to": large.name, "wall_times": round(times, 2)}
            )
    return found


def report(found: dict[str, Any]) -> str:
    """The results as a Markdown table."""
    lines = [
        f"# Sidecars under load ({found['processors']} processors)",
        "",
        "| load | sidecar | instances a second | p50 ms | p99 ms | CPU µs a step | peak MB | times the other |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, taken in found["loads"].items():
        for kind in ("memory", "file", "other memory", "other file"):
            row = taken.get(kind)
            if row is None:
                if kind in found["sidecars"]:
                    label = kind.replace("other", found["other"] or "other")
                    lines.append(
                        f"| {name} | {label} | not done in {found['timeout_s']:g} s | | | | | |"
                    )
                continue
            peer = taken.get(f"other {kind}")
            times = "" if peer is None else f"{row['per_s'] / peer['per_s']:.1f}"
            cells = (
                _number(row[key])
                for key in (
                    "per_s",
                    "latency_p50_ms",
                    "latency_p99_ms",
                    "cpu_us_per_step",
                    "peak_mb",
                )
            )
            label = kind.replace("other", found["other"] or "other")
            lines.append(f"| {name} | {label} | {' | '.join(cells)} | {times} |")
    if found["growth"]:
        lines += ["", "Ten times as much, in memory:", ""]
        lines += [
            f"- {each['from']} → {each['to']}: {each['wall_times']} times as long"
            for each in found["growth"]
        ]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    add = parser.add_argument
    add("--python", type=Path, help="interpreter that has this project")
    add("--other", metavar="PROGRAM", help="another sidecar's program, as durabletask-go")
    add("--other-memory", default="--port {port}", help="its options for a run in memory")
    add("--other-file", default="--port {port} --db {db}", help="its options for a run on a file")
    add("--only", metavar="TEXT", help="only loads with this in their names")
    add("--scale", type=float, default=1.0, help="share of the instances (1.0)")
    add("--rounds", type=int, default=3, help="how often everything is measured (3)")
    add("--timeout", type=float, default=600, help="seconds for a load (600)")
    add("--keep", action="store_true", help="write the results into benches/results")
    return parser


def main() -> None:
    """Measure and print."""
    arguments = options().parse_args()
    try:
        found = measure(arguments)
    except BenchError as error:
        sys.exit(f"benches/sidecar_load.py: {error}")
    table = report(found)
    if arguments.keep:
        (RESULTS / "sidecar.json").write_text(json.dumps(found, indent=1) + "\n")
        (RESULTS / "sidecar.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main()
