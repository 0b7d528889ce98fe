"""A process that is a worker of one package, and says what processor time it takes.

Runs under the interpreter of that package's environment. Takes commands, a JSON object on each line, and answers each
with one; `fleet.py` has the other end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import orchestrators


def activity(_: Any, number: int) -> int:
    """What `orchestrators.chain` calls: as quick as an activity can be."""
    return number


ACTIVITIES_AT_ONCE = 1_000
NAP = 0.05
DOZE = 1.0


async def nap(_: Any, number: int) -> int:
    """What `orchestrators.naps` calls."""
    await asyncio.sleep(NAP)
    return number


def doze(_: Any, number: int) -> int:
    """What `orchestrators.dozes` calls."""
    time.sleep(DOZE)
    return number


class Clock:
    """Adds up the processor time of the calls that it watches, whichever threads make them."""

    def __init__(self) -> None:
        self._spans: list[int] = []

    def watch(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function: what its thread computes meanwhile counts, what it waits for does not."""
        now, note = time.thread_time_ns, self._spans.append

        def watched(*arguments: Any, **named: Any) -> Any:
            start = now()
            try:
                return call(*arguments, **named)
            finally:
                note(now() - start)

        return watched

    def read(self) -> dict[str, Any]:
        """How many calls there were, and the seconds of processor time that they took."""
        return {"turns": len(self._spans), "replay_cpu_s": sum(self._spans) / 1e9}


def watch_ours(clock: Clock) -> None:
    """Watch all that a turn is between the work item's bytes and the response's bytes."""
    worker: Any = import_module("durabletask.worker")
    make = worker._core.Executor

    class Watched:
        """The native executor, which cannot be changed, with one method watched."""

        def __init__(self, *arguments: Any, **named: Any) -> None:
            self._executor = make(*arguments, **named)
            self.execute_work_item = clock.watch(self._executor.execute_work_item)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._executor, name)

    worker._core.Executor = Watched


def watch_dapr(clock: Clock) -> None:
    """Watch the replay alone; decoding the work item and encoding the response stay out of the account."""
    executor: Any = import_module("durabletask.worker")._OrchestrationExecutor
    executor.execute = clock.watch(executor.execute)


WATCH = {"ours": watch_ours, "dapr": watch_dapr}


class Worker:
    """The worker and its accounts."""

    def __init__(self, kind: str, address: str) -> None:
        self._clock = Clock()
        WATCH[kind](self._clock)
        # Not this project's module, perhaps, but its namesake.
        package: Any = import_module("durabletask.worker")
        limits = package.ConcurrencyOptions(
            maximum_concurrent_activity_work_items=ACTIVITIES_AT_ONCE
        )
        self._worker = package.TaskHubGrpcWorker(host_address=address, concurrency_options=limits)
        for orchestrator in (orchestrators.chain, orchestrators.naps, orchestrators.dozes):
            self._worker.add_orchestrator(orchestrator)
        for each in (activity, nap, doze):
            self._worker.add_activity(each)
        self._worker.start()

    def do(self, command: str) -> dict[str, Any]:
        """Answer a command."""
        if command == "stop":
            self._worker.stop()
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "cpu_s": time.process_time(),
            "user_s": used.ru_utime,
            "system_s": used.ru_stime,
            "switches": used.ru_nvcsw,
            **self._clock.read(),
        }


def main(kind: str, address: str) -> None:
    """Start the worker, then answer commands until there are no more."""
    # Nothing but answers may appear among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for name in ("durabletask-worker", "durabletask"):
        logging.getLogger(name).setLevel(logging.WARNING)

    def answer(found: dict[str, Any]) -> None:
        answers.write(json.dumps(found) + "\n")
        answers.flush()

    try:
        worker = Worker(kind, address)
    except Exception as error:
        answer({"error": f"{type(error).__name__}: {error}"})
        return
    answer({})
    for line in sys.stdin:
        command = json.loads(line)["do"]
        answer(worker.do(command))
        if command == "stop":
            break


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
