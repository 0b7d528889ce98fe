"""A process that replays histories with one package, and times it.

Runs under the interpreter of that package's environment. Takes commands, a JSON object on each line, and answers each
with one; `peers.py` has the other end.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

Execute = Callable[[bytes], bytes]


def ours(orchestrator: Any, options: tuple[str, ...] = ()) -> Execute:
    """This project, through its public door."""
    from durabletask.payloads import JsonConverter
    from durabletask.replay import Replayer
    from durabletask.worker import ReplayCacheOptions

    return Replayer(
        orchestrators=[orchestrator],
        replay_cache=ReplayCacheOptions() if "cache" in options else None,
        payload_converter=JsonConverter() if "converter" in options else None,
    ).execute


def dapr(orchestrator: Any) -> Execute:
    """durabletask-dapr, with its worker's logger."""
    return _python_executor(orchestrator, logging.getLogger("durabletask-worker"))


def microsoft(orchestrator: Any) -> Execute:
    """Microsoft's durabletask, with its worker's converter; its logger would print a line for each execution."""
    logger = logging.getLogger("durabletask-worker")
    logger.setLevel(logging.WARNING)
    converter = import_module("durabletask.serialization").JsonDataConverter()
    return _python_executor(orchestrator, logger, converter)


def _python_executor(orchestrator: Any, *executor_arguments: Any) -> Execute:
    """What the workers of both do between the request and the response."""
    # Not this project's modules but their namesakes.
    worker: Any = import_module("durabletask.worker")
    helpers: Any = import_module("durabletask.internal.helpers")
    pb: Any = import_module("durabletask.internal.orchestrator_service_pb2")
    registry = worker._Registry()
    registry.add_orchestrator(orchestrator)

    def execute(request: bytes) -> bytes:
        decoded = pb.OrchestratorRequest.FromString(request)
        executor = worker._OrchestrationExecutor(registry, *executor_arguments)
        result = executor.execute(decoded.instanceId, decoded.pastEvents, decoded.newEvents)
        response = pb.OrchestratorResponse(
            instanceId=decoded.instanceId,
            actions=result.actions,
            customStatus=helpers.get_string_value(result.encoded_custom_status),
        )
        encoded: bytes = response.SerializeToString()
        return encoded

    return execute


class _BareContext:
    """Does as little as a context can: hands out tasks that are ready."""

    def __init__(self, tasks: list[Any]) -> None:
        self._next = iter(tasks).__next__

    def call_activity(self, activity: Any, *, input: Any = None, retry_policy: Any = None) -> Any:  # noqa: A002
        return self._next()

    def call_sub_orchestrator(self, orchestrator: Any, *, input: Any = None) -> Any:  # noqa: A002
        return self._next()

    def create_timer(self, fire_at: Any) -> Any:
        return self._next()

    def wait_for_external_event(self, name: str) -> Any:
        return self._next()


class _Ready:
    """A task with its result."""

    __slots__ = ("_result",)

    def __init__(self, result: Any) -> None:
        self._result = result

    def get_result(self) -> Any:
        return self._result


def generator(workload: str, orchestrator: Any, steps: int) -> Execute:
    """No package at all: the orchestrator's generator, resumed with values that are ready."""
    from workloads import order_of_completion

    module = sys.modules["orchestrators"]
    module.task = SimpleNamespace(when_all=_itself, when_any=_itself)  # type: ignore[attr-defined]
    results, values = _ready(workload, steps)
    tasks = [_Ready(result) for result in results]
    if workload in ("sliding", "when_any_all"):
        window = steps if workload == "when_any_all" else module.WINDOW
        values = [tasks[number] for number, _ in order_of_completion(steps, window)]

    def execute(_: bytes) -> bytes:
        routine = orchestrator(_BareContext(tasks), steps)
        send = routine.send
        try:
            send(None)
            for value in values:
                send(value)
        except StopIteration as end:
            return json.dumps(end.value).encode()
        raise AssertionError("the generator takes more values than there are steps")

    return execute


def _itself(tasks: Any) -> Any:
    return tasks


def _ready(workload: str, steps: int) -> tuple[list[Any], list[Any]]:
    """What the tasks of a workload hold, and what its generator is sent."""
    from workloads import WORKLOADS, order

    numbers: list[Any] = list(range(steps))
    if workload == "fan_out":
        return numbers, [numbers]
    if workload == "json_1k":
        orders = [order(number) for number in numbers]
        return orders, orders
    if workload in ("chain", "dataclass_inputs", "retries"):
        results = [WORKLOADS[workload].result(number + 1) for number in numbers]
        return results, results
    return numbers, numbers


PACKAGES = {
    "ours": ("durabletask-rs",),
    "dapr": ("durabletask-dapr", "protobuf"),
    "microsoft": ("durabletask", "protobuf"),
}
PEERS = {"dapr": dapr, "microsoft": microsoft}


def make(kind: str, workload: str, steps: int) -> Execute:
    """Make the function that is measured: a serialized request in, a serialized response out."""
    import orchestrators
    from workloads import WORKLOADS

    described = WORKLOADS[workload]
    orchestrator = getattr(orchestrators, described.orchestrator or workload)
    if kind == "generator":
        return generator(workload, orchestrator, steps)
    if kind == "ours":
        return ours(orchestrator, described.options)
    return PEERS[kind](orchestrator)


def about(kind: str) -> dict[str, Any]:
    """Say what is measured."""
    return {
        "python": f"{sys.implementation.name} {sys.version.split()[0]}",
        **{name: _version(name) for name in PACKAGES.get(kind, ())},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def measure(execute: Execute, request: bytes, seconds: float) -> dict[str, list[int]]:
    """Time executions until the time is over, at least one; return nanoseconds of the processor and of the clock."""
    processor, clock = time.process_time_ns, time.perf_counter_ns
    times: dict[str, list[int]] = {"processor": [], "clock": []}
    until = clock() + int(seconds * 1e9)
    while not times["clock"] or clock() < until:
        clock_start, processor_start = clock(), processor()
        execute(request)
        processor_end, clock_end = processor(), clock()
        times["processor"].append(processor_end - processor_start)
        times["clock"].append(clock_end - clock_start)
    return times


def memory(execute: Execute, warm_up: bytes, request: bytes) -> int:
    """Replay once, after a short history; return by how many bytes the process grew at most."""
    execute(warm_up)
    # Let the peak begin at the present size, where the kernel can do that; elsewhere it is hardly above it.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    execute(request)
    return _peak() - before


def _peak() -> int:
    """The greatest resident size of this process so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1_024
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1_024


def main(kind: str) -> None:
    """Answer commands until there are no more."""
    # Nothing but answers may appear among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    execute: Execute | None = None
    request = b""
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            if command["do"] == "about":
                answer = about(kind)
            elif command["do"] == "load":
                execute = None
                request = Path(command["path"]).read_bytes()
                execute = make(kind, command["workload"], command["steps"])
                answer["response"] = base64.b64encode(execute(request)).decode()
            elif command["do"] == "round":
                assert execute is not None, "load first"
                answer = dict(measure(execute, request, command["seconds"]))
            elif command["do"] == "memory":
                warm_up = Path(command["warm_up"]).read_bytes()
                request = Path(command["path"]).read_bytes()
                execute = make(kind, command["workload"], command["steps"])
                answer["above"] = memory(execute, warm_up, request)
                answer["message"] = len(request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    if sys.argv[2] != "any" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(sys.argv[2])})
    main(sys.argv[1])
