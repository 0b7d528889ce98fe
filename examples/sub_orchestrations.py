"""Sub-orchestrations: an orchestrator calls others, and deals with their failures as with its own.

Usage: python examples/sub_orchestrations.py [ADDRESS]
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from durabletask.client import TaskHubGrpcClient
from durabletask.task import (
    ActivityContext,
    OrchestrationContext,
    Task,
    TaskFailedError,
    when_all,
)
from durabletask.worker import TaskHubGrpcWorker

from _sidecar import sidecar_address


def pick(ctx: ActivityContext, item: str) -> str:
    if item == "unicorn":
        raise LookupError("no unicorn on the shelves")
    return item


def pack(ctx: ActivityContext, item: str) -> str:
    return f"box with {item}"


def prepare_parcel(ctx: OrchestrationContext, item: str) -> Generator[Task[Any], Any, Any]:
    """Take two steps with a history of their own, apart from the caller's."""
    picked = yield ctx.call_activity(pick, input=item)
    return (yield ctx.call_activity(pack, input=picked))


def fulfil_order(ctx: OrchestrationContext, items: list[str]) -> Generator[Task[Any], Any, Any]:
    """Have all parcels prepared at the same time, then try one that is bound to fail."""
    parcels = yield when_all([ctx.call_sub_orchestrator(prepare_parcel, input=i) for i in items])

    # With an id of our choice, clients can find the child and talk to it.
    extra = ctx.call_sub_orchestrator(
        prepare_parcel, input="unicorn", instance_id=f"{ctx.instance_id}-extra"
    )
    try:
        parcels.append((yield extra))
    except TaskFailedError as error:
        return {"parcels": parcels, "left out": str(error.details.message)}
    return {"parcels": parcels}


def main() -> None:
    with (
        sidecar_address() as address,
        TaskHubGrpcWorker(host_address=address) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        worker.add_orchestrator(fulfil_order)
        worker.add_orchestrator(prepare_parcel)
        worker.add_activity(pick)
        worker.add_activity(pack)
        worker.start()

        parent = client.schedule_new_orchestration(fulfil_order, input=["book", "lamp"])
        state = client.wait_for_orchestration_completion(parent, timeout=30)
        assert state is not None
        state.raise_if_failed()
        print(state.serialized_output)

        child = client.get_orchestration_state(f"{parent}-extra")
        assert child is not None
        print(f"the extra parcel: {child.runtime_status}")


if __name__ == "__main__":
    main()
