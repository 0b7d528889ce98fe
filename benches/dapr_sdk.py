"""Dapr's SDK on its own engine and on this one: the same program, in turns, on the same sidecar.

    python benches/dapr_sdk.py --python .venv-bench-dapr-sdk/bin/python [--address HOST:PORT]

Without an address each run has an embedded sidecar of its own. The median of the rounds counts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "dapr_sdk_program.py"
WORKLOADS = ("chain of 100", "20 chains of 50", "fan-out of 500", "chain of 2,000")
ENGINES = {"Dapr's own": [], "this one": ["-m", "durabletask.dapr"]}


@contextlib.contextmanager
def sidecar(python: str, given: str | None) -> Iterator[str]:
    """The address of the given sidecar, or of an embedded one that ends with the block."""
    if given is not None:
        yield given
        return
    command = [python, "-m", "durabletask.sidecar", "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        found = re.search(r"127\.0\.0\.1:\d+", process.stdout.readline())
        assert found, "the sidecar did not say where it listens"
        yield found.group()
    finally:
        process.terminate()
        process.wait()


def measure(python: str, engine: str, workload: str, given: str | None) -> dict[str, float]:
    with sidecar(python, given) as address:
        process = subprocess.run(
            [python, *ENGINES[engine], str(PROGRAM), address, workload],
            env={name: value for name, value in os.environ.items() if not name.startswith("DAPR_")},
            capture_output=True,
            text=True,
            timeout=900,
        )
    if process.returncode:
        sys.exit(f"{workload} on {engine} failed:\n{process.stderr[-2000:]}")
    measured: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the two engines under Dapr's SDK.")
    parser.add_argument("--python", required=True, help="an interpreter that has both packages")
    parser.add_argument("--address", help="a running sidecar; by default an embedded one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("workloads", nargs="*", default=WORKLOADS, metavar="WORKLOAD")
    options = parser.parse_args()
    print(f"on {options.address or 'embedded sidecars'}, median of {options.rounds} rounds\n")
    print("| | Dapr's own engine | this engine | faster | processor time of the worker |")
    print("| --- | --- | --- | --- | --- |")
    for workload in options.workloads:
        rounds: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
        for _ in range(options.rounds):
            for engine, measured in rounds.items():
                measured.append(measure(options.python, engine, workload, options.address))

        def median(engine: str, what: str, rounds: Any = rounds) -> float:
            return float(statistics.median(each[what] for each in rounds[engine]))

        (theirs, ours), (cpu, our_cpu) = (
            [median(engine, what) for engine in ENGINES] for what in ("seconds", "processor")
        )
        print(
            f"| {workload} | {theirs:.3f} s | {ours:.3f} s | {theirs / ours:.1f} x "
            f"| {cpu:.2f} s, {our_cpu:.2f} s: {cpu / max(our_cpu, 0.001):.1f} x less |",
            flush=True,
        )


if __name__ == "__main__":
    main()
