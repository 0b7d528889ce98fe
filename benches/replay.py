"""What replaying one step costs: a chain of activities, serialized request in, serialized response out.

The whole history is new to the engine each time: decoded, matched against what the orchestrator does,
answered. A step is one activity: three events, one resumption of the generator. `make bench` runs
this on a release build.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from durabletask import task
from durabletask.replay import Replayer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import messages
from support.history import History


def step(ctx: task.ActivityContext, number: int) -> str:
    """Is called by name only: its results are in the history."""
    raise NotImplementedError


def chain(ctx: task.OrchestrationContext, steps: int) -> Generator[task.Task[Any], Any, str]:
    result = ""
    for number in range(steps):
        result = yield ctx.call_activity(step, input=number)
    return result


def recorded_chain(steps: int) -> bytes:
    """Serialize the request of the turn in which the last of the steps has completed."""
    history = History("chain", steps)
    for task_id in range(1, steps + 1):
        history.scheduled(task_id, "step").turn().completed(task_id, f"result of {task_id}")
    request: bytes = history.request.SerializeToString()
    return request


def check(response: bytes, steps: int) -> None:
    """Exit unless the chain was replayed to its end."""
    actions = messages.OrchestratorResponse.FromString(response).actions
    result = actions[0].completeOrchestration.result.value if len(actions) == 1 else None
    if result != f'"result of {steps}"':
        sys.exit(f"the chain of {steps:,} steps was not replayed to its end: {actions}")


def measure(steps: int, seconds: float) -> tuple[float, float, int, int]:
    """Return the best and the median time of a replay in seconds, the rounds, and the request's bytes."""
    request = recorded_chain(steps)
    replayer = Replayer(orchestrators=[chain])
    check(replayer.execute(request), steps)
    rounds: list[float] = []
    until = time.perf_counter() + seconds
    while len(rounds) < 5 or time.perf_counter() < until:
        start = time.perf_counter()
        replayer.execute(request)
        rounds.append(time.perf_counter() - start)
    return min(rounds), statistics.median(rounds), len(rounds), len(request)


def main() -> None:
    """Measure each length and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("steps", nargs="*", type=int, default=[100, 1_000, 10_000])
    parser.add_argument("--seconds", type=float, default=2.0, help="time to spend on each length")
    arguments = parser.parse_args()

    print(f"{'steps':>7}  {'history':>9}  {'µs/step best':>12}  {'median':>6}  {'rounds':>6}")
    for steps in arguments.steps:
        best, median, rounds, size = measure(steps, arguments.seconds)
        best_step, median_step = best / steps * 1e6, median / steps * 1e6
        print(
            f"{steps:>7,}  {size / 1e3:>6,.0f} kB  {best_step:>12.3f}  {median_step:>6.3f}  {rounds:>6,}"
        )


if __name__ == "__main__":
    main()
