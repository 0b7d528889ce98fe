"""Answers turns with durabletask-dapr 0.17.4: the process at the other end of `reference.Reference`.

Reads pickled batches from standard input and writes pickled answers to standard output. Both ends are
this project's, on one machine. A batch is a list of (program as JSON, OrchestratorRequest bytes, kinds
of corrections or None), its answer a list of (OrchestratorResponse bytes, kinds that took effect); an
answer of None says that 0.17.4 loops for ever.
"""

from __future__ import annotations

import importlib
import json
import logging
import pickle
import signal
import sys
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

from parity import corrections, interpreter  # noqa: E402

worker: Any = importlib.import_module("durabletask.worker")
pb: Any = importlib.import_module("durabletask.internal.orchestrator_service_pb2")
helpers: Any = importlib.import_module("durabletask.internal.helpers")

TURN_LIMIT = 10
"""Seconds after which a turn counts as one that never ends."""

Answer = tuple["bytes | None", list[str]]


logger = logging.getLogger("reference")
logger.setLevel(logging.CRITICAL + 1)


@lru_cache(maxsize=4096)
def registry(program: str) -> Any:
    registry = worker._Registry()
    for arguments in interpreter.orchestrators(json.loads(program)):
        registry.add_named_orchestrator(*arguments)
    return registry


def execute(executor: Any, request: Any) -> bytes:
    """The response, put together as `TaskHubGrpcWorker._execute_orchestrator` of 0.17.4 does."""
    try:
        result = executor.execute(request.instanceId, request.pastEvents, request.newEvents)
        response = pb.OrchestratorResponse(
            instanceId=request.instanceId,
            actions=result.actions,
            customStatus=helpers.get_string_value(result.encoded_custom_status),
        )
        if result.version_name:
            response.version.name = result.version_name
        if result.patches:
            response.version.patches.extend(result.patches)
    except Exception as error:
        failed = helpers.new_complete_orchestration_action(
            -1, pb.ORCHESTRATION_STATUS_FAILED, "", helpers.new_failure_details(error)
        )
        response = pb.OrchestratorResponse(instanceId=request.instanceId, actions=[failed])
    encoded: bytes = response.SerializeToString()
    return encoded


def answer(program: str, encoded: bytes, kinds: list[str] | None) -> Answer:
    request = pb.OrchestratorRequest.FromString(encoded)
    signal.alarm(TURN_LIMIT)
    try:
        if kinds is None:
            return execute(corrections.Plain(registry(program), logger), request), []
        with corrections.corrected(set(kinds)) as fired:
            response = execute(corrections.Executor(registry(program), logger), request)
        return response, sorted(fired)
    except corrections.LoopsForEverError:
        return None, []
    finally:
        signal.alarm(0)


def never_ends(*_: Any) -> None:
    raise corrections.LoopsForEverError


def main() -> None:
    signal.signal(signal.SIGALRM, never_ends)
    warnings.simplefilter("ignore")
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
