"""Calls to another app, with a sidecar for each: what only Dapr serves."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from durabletask import task
from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.task import HistoryPropagation
from durabletask.worker import TaskHubGrpcWorker

from support.sidecar import GIVEN, OTHER_APP

pytestmark = [
    pytest.mark.sidecars("dapr", reason="serves one app"),
    pytest.mark.skipif(
        OTHER_APP is None, reason="no other app: `make test-sidecar` takes OTHER=app-id=host:port"
    ),
]

SOON = 60
EAGER = task.RetryPolicy(first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=3)
attempts = Counter[str]()


class App(NamedTuple):
    id: str
    client: TaskHubGrpcClient


# --- what the other app has


def twice(ctx: task.ActivityContext, number: int) -> int:
    return 2 * number


def third_time(ctx: task.ActivityContext, _: Any) -> int:
    attempts[ctx.orchestration_id] += 1
    if attempts[ctx.orchestration_id] < 3:
        raise ConnectionError("not yet")
    return attempts[ctx.orchestration_id]


def broken(ctx: task.ActivityContext, _: Any) -> None:
    raise KeyError("no such thing")


def seen(ctx: task.ActivityContext, _: Any) -> Any:
    return shown(ctx.get_propagated_history())


def child(ctx: task.OrchestrationContext, number: int) -> Any:
    mine = shown(ctx.get_propagated_history())
    return [mine, (yield ctx.call_activity(twice, input=number))]


def waiting_child(ctx: task.OrchestrationContext, _: Any) -> Any:
    yield ctx.wait_for_external_event("never")


def shown(history: Any) -> Any:
    return history and [chunk.workflow_name for chunk in history.chunks]


# --- what the first app has


def calls(ctx: task.OrchestrationContext, other: str) -> Any:
    doubled = yield task.when_all(
        [
            ctx.call_activity(twice, input=number, app_id=other if number % 2 else None)
            for number in range(10)
        ]
    )
    retried = yield ctx.call_activity(third_time, app_id=other, retry_policy=EAGER)
    try:
        yield ctx.call_activity(broken, app_id=other)
    except task.TaskFailedError as error:
        return [doubled, retried, error.details.error_type]


def starts(ctx: task.OrchestrationContext, other: str) -> Any:
    unseen = yield ctx.call_sub_orchestrator(child, input=1, app_id=other)
    scope = HistoryPropagation.LINEAGE
    seeing = yield ctx.call_sub_orchestrator(child, input=2, app_id=other, propagation=scope)
    activity = yield ctx.call_activity(seen, app_id=other, propagation=scope)
    return [unseen, seeing, activity]


def leaves(ctx: task.OrchestrationContext, other: str) -> Any:
    child_id = f"{ctx.instance_id}-child"
    yield ctx.call_sub_orchestrator(waiting_child, instance_id=child_id, app_id=other)


@pytest.fixture(scope="module")
def apps() -> Iterator[tuple[App, App]]:
    assert GIVEN is not None
    assert OTHER_APP is not None
    other_id, _, address = OTHER_APP.partition("=")
    with (
        TaskHubGrpcWorker(host_address=GIVEN) as first,
        TaskHubGrpcWorker(host_address=address) as second,
        TaskHubGrpcClient(host_address=GIVEN) as client,
        TaskHubGrpcClient(host_address=address) as other,
    ):
        for caller in (calls, starts, leaves):
            first.add_orchestrator(caller)
        first.add_activity(twice)
        second.add_orchestrator(child)
        second.add_orchestrator(waiting_child)
        for activity in (twice, third_time, broken, seen):
            second.add_activity(activity)
        first.start()
        second.start()
        yield App("", client), App(other_id, other)


def run(apps: tuple[App, App], orchestrator: Any) -> Any:
    first, other = apps
    instance_id = first.client.schedule_new_orchestration(orchestrator, input=other.id)
    state = first.client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    assert state is not None
    state.raise_if_failed()
    return json.loads(state.serialized_output or "null")


def test_activities_of_the_other_app_are_called_retried_and_fail(apps: tuple[App, App]) -> None:
    assert run(apps, calls) == [[2 * number for number in range(10)], 3, "KeyError"]


def test_histories_are_handed_on_to_the_other_app(apps: tuple[App, App]) -> None:
    assert run(apps, starts) == [[None, 2], [["starts"], 4], ["starts"]]


def test_a_termination_reaches_the_other_app(apps: tuple[App, App]) -> None:
    first, other = apps
    instance_id = first.client.schedule_new_orchestration(leaves, input=other.id)
    child_id = f"{instance_id}-child"
    deadline = time.monotonic() + SOON
    while other.client.get_orchestration_state(child_id) is None:
        assert time.monotonic() < deadline, "the child does not start"
        time.sleep(0.05)
    first.client.terminate_orchestration(instance_id)
    for client, each in ((first.client, instance_id), (other.client, child_id)):
        state = client.wait_for_orchestration_completion(each, timeout=SOON)
        assert state is not None
        assert state.runtime_status is OrchestrationStatus.TERMINATED
    # Otherwise Dapr may go on telling the child, and holds up other workers while it has none.
    first.client.purge_orchestration(instance_id)
