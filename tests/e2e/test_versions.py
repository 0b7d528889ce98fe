"""Orchestrator versions and patches across deployments, on a sidecar."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.task import OrchestrationContext
from durabletask.worker import ReplayCacheOptions, TaskHubGrpcWorker

from support.sidecar import once_served, sidecar_address

SOON = 60


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with sidecar_address() as address:
        yield address


def waits_and_returns(value: str) -> Any:
    def orchestrator(ctx: OrchestrationContext, _: object) -> Any:
        yield ctx.wait_for_external_event("go")
        return value

    return orchestrator


@contextmanager
def deployed(address: str, *versions: str) -> Iterator[None]:
    """A worker that has these versions of `versioned`; the last one is for new orchestrations."""
    with TaskHubGrpcWorker(host_address=address) as worker:
        for version in versions:
            worker._registry.add_named_orchestrator(
                "versioned", waits_and_returns(version), version, is_latest=version == versions[-1]
            )
        worker.start()
        yield


def start(client: TaskHubGrpcClient, name: str) -> str:
    instance_id = client.schedule_new_orchestration(name)
    client.wait_for_orchestration_start(instance_id, timeout=SOON)
    return instance_id


def go(client: TaskHubGrpcClient, instance_id: str) -> None:
    once_served(lambda: client.raise_orchestration_event(instance_id, "go"))


def output(client: TaskHubGrpcClient, instance_id: str) -> Any:
    state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    assert state is not None
    state.raise_if_failed()
    return json.loads(state.serialized_output or "null")


def test_an_orchestration_goes_on_with_the_version_that_began_it(
    address: str, client: TaskHubGrpcClient
) -> None:
    with deployed(address, "v1"):
        old = start(client, "versioned")
    with deployed(address, "v1", "v2"):
        new = start(client, "versioned")
        for instance_id in (old, new):
            go(client, instance_id)
        assert (output(client, old), output(client, new)) == ("v1", "v2")


@pytest.mark.sidecars("embedded", "dapr", reason="goes on to say that it is running")
def test_an_orchestration_waits_for_a_worker_that_has_its_version(
    address: str, client: TaskHubGrpcClient
) -> None:
    with deployed(address, "v1"):
        old = start(client, "versioned")
    with deployed(address, "v2"):
        go(client, old)
        deadline = time.monotonic() + SOON
        while True:
            state = client.get_orchestration_state(old)
            assert state is not None
            if state.runtime_status is OrchestrationStatus.STALLED:
                break
            assert time.monotonic() < deadline, f"still {state.runtime_status}"
            time.sleep(0.05)
    with deployed(address, "v1", "v2"):
        assert output(client, old) == "v1"


@pytest.mark.parametrize("cache", [ReplayCacheOptions(), None], ids=["warm", "cold"])
def test_patches_are_for_orchestrations_that_have_not_passed_them(
    address: str, client: TaskHubGrpcClient, cache: ReplayCacheOptions | None
) -> None:
    def before(ctx: OrchestrationContext, _: object) -> Any:
        yield ctx.wait_for_external_event("go")

    def after(ctx: OrchestrationContext, _: object) -> Any:
        passed = ctx.is_patched("early")
        yield ctx.wait_for_external_event("go")
        ahead = ctx.is_patched("late")
        yield ctx.create_timer(ctx.current_utc_datetime)
        return [passed, ahead, ctx.is_patched("early"), ctx.is_patched("late")]

    with TaskHubGrpcWorker(host_address=address) as worker:
        worker._registry.add_named_orchestrator("patched", before)
        worker.start()
        old = start(client, "patched")
    with TaskHubGrpcWorker(host_address=address, replay_cache=cache) as worker:
        worker._registry.add_named_orchestrator("patched", after)
        worker.start()
        new = start(client, "patched")
        for instance_id in (old, new):
            go(client, instance_id)
        assert output(client, old) == [False, True, False, True]
        assert output(client, new) == [True, True, True, True]
