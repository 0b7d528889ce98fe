"""Human interaction: an orchestration waits for somebody's decision, and for a deadline.

Whichever comes first wins. While it waits, be it two seconds as here or two weeks, it occupies no
thread, and the worker may be restarted.

Usage: python examples/human_interaction.py [ADDRESS]
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from durabletask.client import TaskHubGrpcClient
from durabletask.task import ActivityContext, OrchestrationContext, Task, when_any
from durabletask.worker import TaskHubGrpcWorker

from _sidecar import sidecar_address

DEADLINE = timedelta(seconds=2)


@dataclass
class Order:
    product: str
    quantity: int
    cost: float


def ask_for_approval(ctx: ActivityContext, order: Any) -> str:
    """Stand for a message to whoever decides, with the instance's id to answer to."""
    return f"asked for {order.cost:,.2f}"


def place_order(ctx: ActivityContext, order: Any) -> str:
    return f"ordered {order.quantity} x {order.product}"


def purchase(ctx: OrchestrationContext, order: Any) -> Generator[Task[Any], Any, list[str]]:
    """Place cheap orders at once; all others need a decision within the deadline."""
    steps = []
    if order.cost >= 1000:
        steps.append((yield ctx.call_activity(ask_for_approval, input=order)))

        decision = ctx.wait_for_external_event("approval")
        deadline = ctx.create_timer(DEADLINE)
        winner = yield when_any([decision, deadline])
        if winner == deadline:
            return [*steps, "nobody decided in time"]

        answer = decision.get_result()
        if not answer["approved"]:
            return [*steps, f"declined by {answer['by']}"]
        steps.append(f"approved by {answer['by']}")

    steps.append((yield ctx.call_activity(place_order, input=order)))
    return steps


def main() -> None:
    with (
        sidecar_address() as address,
        TaskHubGrpcWorker(host_address=address) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        worker.add_orchestrator(purchase)
        worker.add_activity(ask_for_approval)
        worker.add_activity(place_order)
        worker.start()

        orders = [
            Order("pencil", 3, 10),
            Order("piano", 1, 9000),
            Order("yacht", 2, 500_000),
            Order("castle", 1, 3_000_000),
        ]
        ids = [client.schedule_new_orchestration(purchase, input=order) for order in orders]

        # Events may be raised any time after the start, even before anybody waits for them.
        _pencil, piano, yacht, _castle = ids
        client.raise_orchestration_event(piano, "approval", data={"approved": True, "by": "Ada"})
        client.raise_orchestration_event(yacht, "approval", data={"approved": False, "by": "Bob"})

        for order, instance_id in zip(orders, ids, strict=True):
            state = client.wait_for_orchestration_completion(instance_id, timeout=30)
            assert state is not None
            state.raise_if_failed()
            print(f"{order.product}: {state.serialized_output}")


if __name__ == "__main__":
    main()
