"""Histories that calls hand on within an app: to activities, to sub-orchestrations, down the line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from durabletask import task
from durabletask.client import TaskHubGrpcClient
from durabletask.sidecar import Sidecar
from durabletask.task import HistoryPropagation
from durabletask.worker import TaskHubGrpcWorker

from support.sidecar import sidecar_address

pytestmark = pytest.mark.sidecars("embedded", "dapr", reason="hands no histories on")

SOON = 60


def shown(ctx: Any) -> Any:
    """The scope, and of each history its instance, its orchestrator and the activities that it has called."""
    history = ctx.get_propagated_history()
    if history is None:
        return None
    calls = [
        [
            chunk.instance_id,
            chunk.workflow_name,
            sum(event.event_type == "taskScheduled" for event in chunk.events),
        ]
        for chunk in history.chunks
    ]
    return [history.scope.name, calls]


def look(ctx: task.ActivityContext, _: Any) -> Any:
    return shown(ctx)


def order(ctx: task.OrchestrationContext, _: Any) -> Any:
    unshown = yield ctx.call_activity(look)
    activity = yield ctx.call_activity(look, propagation=HistoryPropagation.OWN_HISTORY)
    child = yield ctx.call_sub_orchestrator(
        ship, instance_id=f"{ctx.instance_id}-ship", propagation=HistoryPropagation.LINEAGE
    )
    return [shown(ctx), unshown, activity, child]


def ship(ctx: task.OrchestrationContext, generation: int | None) -> Any:
    before = shown(ctx)
    own = yield ctx.call_activity(look, propagation=HistoryPropagation.OWN_HISTORY)
    line = yield ctx.call_activity(look, propagation=HistoryPropagation.LINEAGE)
    assert shown(ctx) == before
    if generation is None:
        ctx.continue_as_new(1)
        return None
    return [before, own, line]


@pytest.fixture(scope="module", params=["warm", "cold"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    options: dict[str, Any] = {} if request.param == "warm" else {"replay_cache": None}
    with (
        sidecar_address() as address,
        TaskHubGrpcWorker(host_address=address, **options) as worker,
    ):
        worker.add_orchestrator(order)
        worker.add_orchestrator(ship)
        worker.add_activity(look)
        worker.start()
        yield address


def test_histories_are_handed_on_to_activities_and_down_the_line(
    client: TaskHubGrpcClient,
) -> None:
    top = f"order-{uuid4().hex}"
    child = f"{top}-ship"
    client.schedule_new_orchestration(order, instance_id=top)
    state = client.wait_for_orchestration_completion(top, timeout=SOON)
    assert state is not None
    state.raise_if_failed()
    mine, unshown, activity, below = json.loads(state.serialized_output or "null")
    assert (mine, unshown) == (None, None)
    assert activity == ["OWN_HISTORY", [[top, "order", 2]]]
    before, own, line = below
    # The second generation of the child is shown its parent and its first generation.
    above = [[top, "order", 2], [child, "ship", 2]]
    assert before == ["LINEAGE", above]
    assert own == ["OWN_HISTORY", [[child, "ship", 1]]]
    assert line == ["LINEAGE", [*above, [child, "ship", 2]]]


def nests(ctx: task.OrchestrationContext, depth: int) -> Any:
    if depth == 0:
        return shown(ctx)
    child_id = f"ä/{depth}\n'\"%00 {'é' * 40}"
    return (
        yield ctx.call_sub_orchestrator(
            nests, input=depth - 1, instance_id=child_id, propagation=HistoryPropagation.LINEAGE
        )
    )


@pytest.mark.sidecars("embedded", reason="its ids may be of any characters")
def test_a_line_of_many_with_odd_ids_is_handed_on_whole() -> None:
    with (
        Sidecar() as sidecar,
        TaskHubGrpcWorker(host_address=sidecar.address) as worker,
        TaskHubGrpcClient(host_address=sidecar.address) as client,
    ):
        worker.add_orchestrator(nests)
        worker.start()
        top = client.schedule_new_orchestration(
            nests, input=30, instance_id="top: \u202e\U0001f600"
        )
        state = client.wait_for_orchestration_completion(top, timeout=SOON)
        assert state is not None
        state.raise_if_failed()
        scope, line = json.loads(state.serialized_output or "null")
    assert scope == "LINEAGE"
    assert len(line) == 30
    assert [line[0][0], line[1][0]] == [top, f"ä/30\n'\"%00 {'é' * 40}"]
