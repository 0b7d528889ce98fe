"""A web application with a worker in it: FastAPI, served by uvicorn.

The worker lives as long as the application, and its `async def` activities run on the application's own event loop:
they may use what belongs to it, such as the lock below, or a pool of database connections.

Usage: uvicorn application:app    with a sidecar at localhost:4001, or where DAPR_GRPC_ENDPOINT says
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Generator
from typing import Any

from fastapi import FastAPI, HTTPException, Request

from durabletask.aio import AsyncTaskHubGrpcClient
from durabletask.task import ActivityContext, OrchestrationContext, Task
from durabletask.worker import TaskHubGrpcWorker


class Stock:
    """Something of the application's that belongs to its event loop."""

    def __init__(self, pencils: int) -> None:
        self._pencils = pencils
        self._lock = asyncio.Lock()

    async def take(self, count: int) -> int:
        async with self._lock:
            if count > self._pencils:
                raise ValueError(f"only {self._pencils} pencils are left")
            self._pencils -= count
            return self._pencils


def order(ctx: OrchestrationContext, count: int) -> Generator[Task[Any], Any, str]:
    """Take pencils from the stock."""
    left = yield ctx.call_activity("take", input=count)
    return f"{count} taken, {left} left"


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start the worker with the application, and let what runs end before the application does."""
    stock = Stock(pencils=100)
    worker = TaskHubGrpcWorker(loop=asyncio.get_running_loop())
    worker.add_orchestrator(order)

    @worker.activity
    async def take(ctx: ActivityContext, count: int) -> int:
        return await stock.take(count)

    async with worker, AsyncTaskHubGrpcClient() as client:
        app.state.worker, app.state.client = worker, client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/ready")
async def ready(request: Request) -> bool:
    """Whether work can be done now."""
    return bool(request.app.state.worker.is_worker_ready())


@app.post("/orders/{count}")
async def place_order(request: Request, count: int) -> str:
    """Place an order, and wait for it."""
    client: AsyncTaskHubGrpcClient = request.app.state.client
    instance_id = await client.schedule_new_orchestration(order, input=count)
    state = await client.wait_for_orchestration_completion(instance_id, timeout=60)
    if state is None or state.serialized_output is None:
        raise HTTPException(409, "the order failed")
    return state.serialized_output
