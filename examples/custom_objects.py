"""Business objects as inputs, results and event data: dataclasses, named tuples, SimpleNamespace.

At any depth, they are written as JSON objects and read back as SimpleNamespace with the same
attributes: the reader need not have the class, nor the same version of it.

Usage: python examples/custom_objects.py [ADDRESS]
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

from durabletask.client import TaskHubGrpcClient
from durabletask.task import ActivityContext, OrchestrationContext, Task
from durabletask.worker import TaskHubGrpcWorker

from _sidecar import sidecar_address


class Line(NamedTuple):
    product: str
    quantity: int
    price: float


@dataclass
class Order:
    customer: str
    lines: list[Line]


@dataclass
class Invoice:
    customer: str
    total: float

    def text(self) -> str:
        return f"{self.customer} pays {self.total:.2f}"


def invoice(ctx: ActivityContext, order: Any) -> Invoice:
    """Get an object with the attributes of an Order, and return one of another class."""
    total: float = sum(line.quantity * line.price for line in order.lines)
    return Invoice(order.customer, total)


def sell(ctx: OrchestrationContext, order: Any) -> Generator[Task[Any], Any, Any]:
    bill = yield ctx.call_activity(invoice, input=order)

    # Where methods are wanted, the class is made again from the attributes.
    text = Invoice(**vars(bill)).text()

    payment = yield ctx.wait_for_external_event("payment")
    return {"invoice": text, "paid": payment.amount, "rest": bill.total - payment.amount}


def main() -> None:
    with (
        sidecar_address() as address,
        TaskHubGrpcWorker(host_address=address) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        worker.add_orchestrator(sell)
        worker.add_activity(invoice)
        worker.start()

        order = Order("Ada", [Line("pencil", 10, 0.5), Line("book", 2, 20.0)])
        instance_id = client.schedule_new_orchestration(sell, input=order)
        client.raise_orchestration_event(
            instance_id, "payment", data=SimpleNamespace(amount=40.0, method="card")
        )
        state = client.wait_for_orchestration_completion(instance_id, timeout=30)
        assert state is not None
        state.raise_if_failed()
        print(state.serialized_output)


if __name__ == "__main__":
    main()
