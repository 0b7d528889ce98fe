"""A pydantic model, for the workload that passes such: only this project's environment has pydantic."""

from __future__ import annotations

from pydantic import BaseModel


class OrderModel(BaseModel):
    """The same fields as the dataclass in `orchestrators.py`."""

    number: int
    customer: str
    sku: str
    price: float
    express: bool
