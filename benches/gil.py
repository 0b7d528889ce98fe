"""What else a process can do while it replays long histories: reading one must not hold up the rest.

A heartbeat is a thread that sleeps for a millisecond and notes by how much it wakes too late, first in an idle process,
then while another thread replays a chain of 100,000 activities again and again. Its worst delay is what a request to
the same process would wait for Python's lock, at worst.

Then two threads replay such a chain each, at the same time and one after the other. With two free cores, whatever runs
without Python's lock overlaps: 1 is no overlap, 2 would be perfect. What orchestrators do never overlaps.

durabletask-dapr goes through the same. Times are those of the clock: on a busy machine they say little.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import inside
from contestant import make
from replay import NAMES, add_interpreter_options, interpreters
from workloads import WORKLOADS

STEPS = 100_000
BEAT = 0.001
"""Seconds between two heartbeats."""
ROUNDS = 15


def measure(pythons: dict[str, Path], steps: int, seconds: float) -> dict[str, Any]:
    """Measure ours, and the reference if it is among the interpreters; return milliseconds and ratios."""
    found: dict[str, Any] = {"steps": steps, "cores": usable_cores()}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "request"
        path.write_bytes(WORKLOADS["chain"].request("dapr", steps))
        for kind in ("ours", "dapr"):
            if kind in pythons:
                task = {"kind": kind, "path": str(path), "steps": steps, "seconds": seconds}
                found[NAMES[kind]] = inside.call(pythons[kind], __file__, task)
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """Results as sentences for people."""
    said = []
    for name in ("ours", "reference"):
        if name not in found:
            continue
        each = found[name]
        said.append(
            f"{name:<9} a heartbeat is late by {each['replaying_worst_ms']:.1f} ms at worst, "
            f"{each['replaying_99th_ms']:.1f} at the 99th percentile, {each['replaying_median_ms']:.2f} at the median, "
            f"while a chain of {found['steps']:,} is replayed in {each['replay_ms']:,.0f} ms; in an idle process by "
            f"{each['idle_worst_ms']:.1f}, {each['idle_99th_ms']:.1f} and {each['idle_median_ms']:.2f} ms"
        )
        said.append(
            f"{name:<9} two replays: {each['in_turn_ms']:,.0f} ms one after the other, {each['together_ms']:,.0f} ms "
            f"in two threads: {each['overlap']:.2f} times as fast on {found['cores']} cores"
        )
    return said


def usable_cores() -> int | None:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Under the interpreter of the package: both measurements."""
    kind, steps, seconds = task["kind"], task["steps"], task["seconds"]
    request = Path(task["path"]).read_bytes()
    replays = [partial(make(kind, "chain", steps), request) for _ in range(2)]
    replay_ms = min(_milliseconds(replays[0]) for _ in range(2))

    def again_and_again() -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            replays[0]()

    idle = heartbeat(lambda: time.sleep(seconds))
    replaying = heartbeat(again_and_again)
    in_turn, together = [], []
    for _ in range(ROUNDS if kind == "ours" else 1):
        in_turn.append(_milliseconds(lambda: [replay() for replay in replays]))
        together.append(_milliseconds(lambda: at_the_same_time(replays)))
    return {
        "replay_ms": round(replay_ms, 1),
        **_lateness("idle", idle),
        **_lateness("replaying", replaying),
        "in_turn_ms": round(min(in_turn), 1),
        "together_ms": round(min(together), 1),
        "overlap": round(min(in_turn) / min(together), 2),
    }


def heartbeat(work: Callable[[], None]) -> list[float]:
    """Do something while a thread beats; return the milliseconds by which it was late."""
    late: list[float] = []
    over = threading.Event()

    def beat() -> None:
        while not over.is_set():
            start = time.perf_counter()
            time.sleep(BEAT)
            late.append((time.perf_counter() - start - BEAT) * 1e3)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        work()
    finally:
        over.set()
        thread.join()
    return late


def at_the_same_time(functions: Sequence[Callable[[], Any]]) -> None:
    """Run each in a thread of its own, and wait for all."""
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _milliseconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3


def _lateness(when: str, late: list[float]) -> dict[str, float]:
    ordered = sorted(late)
    places = {"median": len(ordered) // 2, "99th": len(ordered) * 99 // 100, "worst": -1}
    return {f"{when}_{name}_ms": round(ordered[place], 3) for name, place in places.items()}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--json", action="store_true", help="a JSON object")
    add_interpreter_options(parser)
    arguments = parser.parse_args()
    arguments.no_microsoft = True
    found = measure(interpreters(arguments), arguments.steps, arguments.seconds)
    print(json.dumps(found) if arguments.json else "\n".join(lines(found)))


if __name__ == "__main__":
    inside.serve(run, main)
