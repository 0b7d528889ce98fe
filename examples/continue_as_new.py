"""Continue-as-new: an orchestration that could run for ever, with a history that stays short.

Each generation handles one meter reading and starts the next with a fresh history and the new
total; readings that arrived meanwhile are carried along.

Usage: python examples/continue_as_new.py [ADDRESS]
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from durabletask.client import TaskHubGrpcClient
from durabletask.task import OrchestrationContext, Task
from durabletask.worker import TaskHubGrpcWorker

from _sidecar import sidecar_address


def meter(ctx: OrchestrationContext, totals: dict[str, Any]) -> Generator[Task[Any], Any, Any]:
    """Add up readings until one says that it was the last."""
    reading = yield ctx.wait_for_external_event("reading")
    totals = {"readings": totals["readings"] + 1, "kWh": totals["kWh"] + reading["kWh"]}
    if reading.get("last"):
        return totals
    ctx.continue_as_new(totals, save_events=True)


def main() -> None:
    with (
        sidecar_address() as address,
        TaskHubGrpcWorker(host_address=address) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        worker.add_orchestrator(meter)
        worker.start()

        instance_id = client.schedule_new_orchestration(meter, input={"readings": 0, "kWh": 0})
        for kwh in range(1, 20):
            client.raise_orchestration_event(instance_id, "reading", data={"kWh": kwh})
        client.raise_orchestration_event(instance_id, "reading", data={"kWh": 20, "last": True})

        # The id stays the same through all generations, so a client waits for the last one.
        state = client.wait_for_orchestration_completion(instance_id, timeout=30)
        assert state is not None
        state.raise_if_failed()
        print(state.serialized_output)


if __name__ == "__main__":
    main()
