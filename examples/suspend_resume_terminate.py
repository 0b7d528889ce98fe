"""Managing instances from outside: suspend, resume, terminate, purge.

Usage: python examples/suspend_resume_terminate.py [ADDRESS]
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.task import OrchestrationContext, Task
from durabletask.worker import TaskHubGrpcWorker

from _sidecar import sidecar_address


def checklist(ctx: OrchestrationContext, items: list[str]) -> Generator[Task[Any], Any, Any]:
    """Wait for every item to be ticked off, in order, and show how far it is."""
    ticked = []
    for item in items:
        ctx.set_custom_status(f"waiting for {item}")
        who = yield ctx.wait_for_external_event(item)
        ticked.append(f"{item} by {who}")
    ctx.set_custom_status("all done")
    return ticked


def wait_for(client: TaskHubGrpcClient, instance_id: str, status: OrchestrationStatus) -> None:
    """Wait until the instance has the status; the call that asked for it did not wait."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        state = client.get_orchestration_state(instance_id)
        if state is not None and state.runtime_status == status:
            print(f"{state.runtime_status}: {state.serialized_custom_status}")
            return
        time.sleep(0.02)
    raise TimeoutError(f"{instance_id} did not become {status}")


def main() -> None:
    with (
        sidecar_address() as address,
        TaskHubGrpcWorker(host_address=address) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        worker.add_orchestrator(checklist)
        worker.start()

        launch = client.schedule_new_orchestration(checklist, input=["fuel", "weather"])
        client.wait_for_orchestration_start(launch, timeout=30)

        # A suspended instance keeps what happens to it and acts on it once it is resumed.
        client.suspend_orchestration(launch)
        wait_for(client, launch, OrchestrationStatus.SUSPENDED)
        client.raise_orchestration_event(launch, "fuel", data="Ada")
        client.raise_orchestration_event(launch, "weather", data="Bob")
        client.resume_orchestration(launch)
        state = client.wait_for_orchestration_completion(launch, timeout=30)
        assert state is not None
        print(f"{state.runtime_status}: {state.serialized_output}")

        # A terminated one ends at once, with the output that it is given.
        picnic = client.schedule_new_orchestration(checklist, input=["sunshine"])
        client.wait_for_orchestration_start(picnic, timeout=30)
        client.terminate_orchestration(picnic, output="it rains")
        state = client.wait_for_orchestration_completion(picnic, timeout=30)
        assert state is not None
        print(f"{state.runtime_status}: {state.serialized_output}")

        # A purged one is gone with all its history; only instances that have ended can be purged.
        client.purge_orchestration(picnic)
        print(f"after purging: {client.get_orchestration_state(picnic)}")


if __name__ == "__main__":
    main()
