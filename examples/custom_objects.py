"""Business objects as inputs, results and event data: dataclasses, named tuples, dates, decimals.

With `typed_payloads=True` an orchestrator or activity is handed its input as the type that the
parameter declares, whatever JSON made of it on the way. Results and event data belong to no parameter;
`convert` makes them what they are known to be.

Usage: python examples/custom_objects.py [ADDRESS]
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from durabletask.client import TaskHubGrpcClient
from durabletask.payloads import convert
from durabletask.task import ActivityContext, OrchestrationContext, Task
from durabletask.worker import TaskHubGrpcWorker

from _sidecar import sidecar_address


class Line(NamedTuple):
    product: str
    quantity: int
    price: Decimal


@dataclass
class Order:
    customer: str
    on: date
    lines: list[Line]


@dataclass
class Invoice:
    customer: str
    total: Decimal
    due: date

    def text(self) -> str:
        return f"{self.customer} pays {self.total} by {self.due}"


@dataclass
class Payment:
    amount: Decimal


def invoice(ctx: ActivityContext, order: Order) -> Invoice:
    total = sum((line.quantity * line.price for line in order.lines), Decimal(0))
    return Invoice(order.customer, total, order.on + timedelta(days=14))


def sell(ctx: OrchestrationContext, order: Order) -> Generator[Task[Any], Any, Any]:
    bill = convert((yield ctx.call_activity(invoice, input=order)), Invoice)
    payment = convert((yield ctx.wait_for_external_event("payment")), Payment)
    return {"invoice": bill.text(), "paid": payment.amount, "rest": bill.total - payment.amount}


def main() -> None:
    with (
        sidecar_address() as address,
        TaskHubGrpcWorker(host_address=address, typed_payloads=True) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        worker.add_orchestrator(sell)
        worker.add_activity(invoice)
        worker.start()

        lines = [Line("pencil", 10, Decimal("0.50")), Line("book", 2, Decimal("20.00"))]
        order = Order("Ada", date(2026, 3, 1), lines)
        instance_id = client.schedule_new_orchestration(sell, input=order)
        client.raise_orchestration_event(instance_id, "payment", data=Payment(Decimal("40.00")))
        state = client.wait_for_orchestration_completion(instance_id, timeout=30)
        assert state is not None
        state.raise_if_failed()
        print(state.serialized_output)


if __name__ == "__main__":
    main()
