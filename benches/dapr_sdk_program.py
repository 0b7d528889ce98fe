"""The workloads of `dapr_sdk.py`, as a program for dapr.ext.workflow; it knows nothing of the engine below.

    python dapr_sdk_program.py ADDRESS WORKLOAD

Prints JSON: seconds that the workload took, and the processor time that this process, worker and client, spent on it.
"""

# mypy: disable-error-code="import-not-found, untyped-decorator, misc"

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Generator
from typing import Any

import dapr.ext.workflow as wf

Workflow = Generator[Any, Any, Any]
TIMEOUT = 600
QUIET = wf.logger.LoggerOptions(log_level=logging.ERROR) if hasattr(wf, "logger") else None

address, workload = sys.argv[1:3]
host, port = address.rsplit(":", 1)
runtime = wf.WorkflowRuntime(host=host, port=port, logger_options=QUIET)
client = wf.DaprWorkflowClient(host=host, port=port, logger_options=QUIET)


@runtime.activity
def plus_one(_: wf.WorkflowActivityContext, number: int) -> int:
    return number + 1


@runtime.workflow
def chain(ctx: wf.DaprWorkflowContext, steps: int) -> Workflow:
    number = 0
    for _ in range(steps):
        number = yield ctx.call_activity(plus_one, input=number)
    return number


@runtime.workflow
def fan_out(ctx: wf.DaprWorkflowContext, calls: int) -> Workflow:
    results = yield wf.when_all([ctx.call_activity(plus_one, input=n) for n in range(calls)])
    return len(results)


def run(workflow: Callable[..., Any], argument: int, instances: int = 1) -> None:
    ids = [client.schedule_new_workflow(workflow, input=argument) for _ in range(instances)]
    for instance_id in ids:
        state = client.wait_for_workflow_completion(instance_id, timeout_in_seconds=TIMEOUT)
        assert state is not None
        assert state.runtime_status.name == "COMPLETED", str(state)
        assert json.loads(state.serialized_output) == argument, state.serialized_output


WORKLOADS: dict[str, Callable[[], None]] = {
    "chain of 100": lambda: run(chain, 100),
    "20 chains of 50": lambda: run(chain, 50, 20),
    "fan-out of 500": lambda: run(fan_out, 500),
    "chain of 2,000": lambda: run(chain, 2000),
}


def main() -> None:
    runtime.start()
    run(chain, 3)  # whatever is loaded at the first use
    clock, processor = time.perf_counter(), sum(os.times()[:2])
    WORKLOADS[workload]()
    took = time.perf_counter() - clock
    spent = sum(os.times()[:2]) - processor
    runtime.shutdown()
    client.close()
    print(json.dumps({"seconds": took, "processor": spent}))


if __name__ == "__main__":
    main()
