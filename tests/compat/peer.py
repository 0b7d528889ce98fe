"""Runs one recorded scenario with whatever `durabletask` is installed, and prints how it ended.

A program of its own, for the interpreter of the environment that holds durabletask-dapr 0.17.4:

    python peer.py ADDRESS SCENARIO     with tests on PYTHONPATH

The output is JSON: a list with status, output, failure and custom status of each instance.
"""

from __future__ import annotations

import json
import sys

from durabletask.client import TaskHubGrpcClient
from durabletask.worker import TaskHubGrpcWorker

from recordings.scenarios import ACTIVITIES, SCENARIOS


def main() -> None:
    address, name = sys.argv[1:]
    scenario = SCENARIOS[name]
    with TaskHubGrpcWorker(host_address=address) as worker:
        for activity in ACTIVITIES:
            worker.add_activity(activity)
        for orchestrator in scenario.orchestrators:
            worker.add_orchestrator(orchestrator)
        worker.start()

        client = TaskHubGrpcClient(host_address=address)
        results = []
        for instance_id in scenario.drive(client):
            state = client.wait_for_orchestration_completion(instance_id, timeout=60)
            assert state is not None
            failure = state.failure_details
            results.append(
                {
                    "status": state.runtime_status.name,
                    "output": state.serialized_output,
                    "failure": failure and [failure.error_type, failure.message],
                    "custom_status": state.serialized_custom_status,
                }
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
