"""Instances that wait for other code, as clients see them."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.sidecar import Sidecar
from durabletask.task import OrchestrationContext
from durabletask.worker import TaskHubGrpcWorker

SOON = 20.0


@pytest.fixture
def address() -> Iterator[str]:
    with Sidecar() as sidecar:
        yield sidecar.address


def before(ctx: OrchestrationContext, _: None) -> Any:
    return (yield ctx.wait_for_external_event("go"))


def paused(ctx: OrchestrationContext, _: None) -> Any:
    yield ctx.create_timer(timedelta(days=1))
    return (yield ctx.wait_for_external_event("go"))


def test_calls_about_a_stalled_instance_return_and_take_effect_with_the_right_code(
    address: str,
) -> None:
    with TaskHubGrpcClient(host_address=address) as client:
        with TaskHubGrpcWorker(host_address=address) as worker:
            worker.add_orchestrator(paused, name="order")
            worker.start()
            instance_id = client.schedule_new_orchestration("order")
            client.wait_for_orchestration_start(instance_id, timeout=SOON)

        def becomes(expected: OrchestrationStatus) -> None:
            deadline = time.monotonic() + SOON
            while (state := client.get_orchestration_state(instance_id)) is None or (
                state.runtime_status is not expected
            ):
                assert time.monotonic() < deadline, f"{state}, expected {expected}"
                time.sleep(0.02)

        with TaskHubGrpcWorker(host_address=address, on_mismatch="stall") as worker:
            worker.add_orchestrator(before, name="order")
            worker.start()
            client.raise_orchestration_event(instance_id, "go", data=1)
            becomes(OrchestrationStatus.STALLED)
            pool = concurrent.futures.ThreadPoolExecutor()
            for call in ("suspend", "resume", "suspend"):
                pool.submit(getattr(client, f"{call}_orchestration"), instance_id).result(SOON)
            pool.shutdown()
            becomes(OrchestrationStatus.STALLED)
        with TaskHubGrpcWorker(host_address=address, on_mismatch="stall") as worker:
            worker.add_orchestrator(paused, name="order")
            worker.start()
            becomes(OrchestrationStatus.SUSPENDED)
