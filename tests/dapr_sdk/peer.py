"""Answers turns with the engine inside Dapr's SDK: the process at the other end of `parity.reference.Reference`.

The protocol is that of `parity/peer.py`, without corrections; told beside a response is whether a task was in several
composites, which programs may answer to in ways that the response does not show. The engine's messages have other
names than 0.17.4's and the same numbers, so requests and responses cross as bytes.
"""

from __future__ import annotations

import importlib
import json
import logging
import pickle
import signal
import sys
import types
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

task: Any = importlib.import_module("dapr.ext.workflow._durabletask.task")
worker: Any = importlib.import_module("dapr.ext.workflow._durabletask.worker")
pb: Any = importlib.import_module("dapr.ext.workflow._durabletask.internal.protos")
helpers: Any = importlib.import_module("dapr.ext.workflow._durabletask.internal.helpers")

# The programs are written against `durabletask.task`.
durabletask: Any = types.ModuleType("durabletask")
durabletask.task = task
sys.modules["durabletask"] = durabletask
sys.modules["durabletask.task"] = task
interpreter = importlib.import_module("parity.interpreter")

TURN_LIMIT = 10
"""Seconds after which a turn counts as one that never ends."""

logger = logging.getLogger("reference")
logger.setLevel(logging.CRITICAL + 1)


noted: set[str] = set()


def note_shared_tasks() -> None:
    """Note the composites with tasks that wait in another one, or twice in this one."""
    make = task.CompositeTask.__init__

    def noting(self: Any, tasks: list[Any]) -> None:
        waiting = [
            each for each in tasks if each._parent is not None and not each._parent.is_complete
        ]
        if len({id(each) for each in tasks}) < len(tasks) or any(
            not each.is_complete for each in waiting
        ):
            noted.add("task_in_composites")
        make(self, tasks)

    task.CompositeTask.__init__ = noting


class NeverEnds(BaseException):
    """No `except Exception` of the engine catches it."""


@lru_cache(maxsize=4096)
def registry(program: str) -> Any:
    registry = worker._Registry()
    for arguments in interpreter.orchestrators(json.loads(program)):
        registry.add_named_orchestrator(*arguments)
    return registry


def execute(program: str, encoded: bytes) -> bytes:
    """The response, put together as `TaskHubGrpcWorker._execute_orchestrator` does."""
    request = pb.WorkflowRequest.FromString(encoded)
    try:
        result = worker._OrchestrationExecutor(registry(program), logger).execute(
            request.instanceId, list(request.pastEvents), list(request.newEvents)
        )
        response = pb.WorkflowResponse(
            instanceId=request.instanceId,
            actions=result.actions,
            customStatus=helpers.get_string_value(result.encoded_custom_status),
        )
        if result.version_name:
            response.version.name = result.version_name
        if result.patches:
            response.version.patches.extend(result.patches)
    except Exception as error:
        failed = helpers.new_complete_workflow_action(
            -1, pb.ORCHESTRATION_STATUS_FAILED, "", helpers.new_failure_details(error)
        )
        response = pb.WorkflowResponse(instanceId=request.instanceId, actions=[failed])
    response_bytes: bytes = response.SerializeToString()
    return response_bytes


def answer(program: str, encoded: bytes, _: Any) -> tuple[bytes | None, list[str]]:
    noted.clear()
    signal.alarm(TURN_LIMIT)
    try:
        return execute(program, encoded), sorted(noted)
    except NeverEnds:
        return None, sorted(noted)
    finally:
        signal.alarm(0)


def never_ends(*_: Any) -> None:
    raise NeverEnds


def main() -> None:
    signal.signal(signal.SIGALRM, never_ends)
    warnings.simplefilter("ignore")
    note_shared_tasks()
    output, sys.stdout = sys.stdout.buffer, sys.stderr
    while True:
        try:
            batch = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump([answer(*each) for each in batch], output)
        output.flush()


if __name__ == "__main__":
    main()
