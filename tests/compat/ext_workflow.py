"""A program on dapr-ext-workflow, as its users write them, with this package in the place of durabletask-dapr.

A program of its own, for the interpreter of the environment that holds dapr-ext-workflow 1.17.5:

    python ext_workflow.py ADDRESS     with python/ on PYTHONPATH

The output is JSON: what each scenario found, by the scenario's name.
"""

# mypy: disable-error-code="import-not-found, untyped-decorator"

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from typing import Any

import dapr.ext.workflow as wf
from dapr.ext.workflow.aio import DaprWorkflowClient as AsyncWorkflowClient

Workflow = Generator[Any, Any, Any]

TIMEOUT = 30
RETRY = wf.RetryPolicy(
    first_retry_interval=timedelta(milliseconds=20),
    max_number_of_attempts=3,
    backoff_coefficient=2,
    max_retry_interval=timedelta(seconds=1),
    retry_timeout=timedelta(seconds=60),
)

address = sys.argv[1]
host, port = address.rsplit(":", 1)
runtime = wf.WorkflowRuntime(host=host, port=port, maximum_thread_pool_workers=4)
client = wf.DaprWorkflowClient(host=host, port=port)
attempts: dict[str, int] = {}


@runtime.activity
def add_one(_: wf.WorkflowActivityContext, number: int) -> int:
    return number + 1


@runtime.activity(name="squared")
def square(_: wf.WorkflowActivityContext, number: int) -> int:
    return number * number


@runtime.activity
def flaky(ctx: wf.WorkflowActivityContext) -> int:
    attempts[ctx.workflow_id] = attempts.get(ctx.workflow_id, 0) + 1
    if attempts[ctx.workflow_id] < 3:
        raise ConnectionError(f"attempt {attempts[ctx.workflow_id]} failed")
    return attempts[ctx.workflow_id]


@runtime.activity
def broken(_: wf.WorkflowActivityContext) -> None:
    raise ValueError("this never works")


@runtime.workflow
def chain(ctx: wf.DaprWorkflowContext, number: int) -> Workflow:
    for _ in range(3):
        number = yield ctx.call_activity(add_one, input=number)
    return number


@runtime.workflow
def fan_out(ctx: wf.DaprWorkflowContext, numbers: list[int]) -> Workflow:
    squares = yield wf.when_all([ctx.call_activity(square, input=each) for each in numbers])
    return sum(squares)


@runtime.workflow(name="nested")
def parent(ctx: wf.DaprWorkflowContext, number: int) -> Workflow:
    by_function = yield ctx.call_child_workflow(chain, input=number)
    by_name = yield ctx.call_child_workflow(
        "chain", input=by_function, instance_id=f"{ctx.instance_id}-child"
    )
    return [by_function, by_name]


@runtime.workflow
def retrying(ctx: wf.DaprWorkflowContext) -> Workflow:
    needed = yield ctx.call_activity(flaky, retry_policy=RETRY)
    try:
        yield ctx.call_child_workflow(failing, retry_policy=RETRY)
    except Exception as error:
        return [needed, type(error).__name__]


@runtime.workflow
def failing(ctx: wf.DaprWorkflowContext) -> Workflow:
    yield ctx.call_activity(broken)


@runtime.workflow
def waiting(ctx: wf.DaprWorkflowContext) -> Workflow:
    ctx.set_custom_status("waiting")
    approved = yield ctx.wait_for_external_event("approval")
    never = ctx.wait_for_external_event("never")
    timer = ctx.create_timer(timedelta(milliseconds=20))
    winner = yield wf.when_any([never, timer])
    return {"approval": approved, "timer won": winner is timer}


@runtime.workflow
def ticking(ctx: wf.DaprWorkflowContext) -> Workflow:
    before = ctx.current_utc_datetime
    yield ctx.create_timer(timedelta(milliseconds=50))
    yield ctx.create_timer(ctx.current_utc_datetime + timedelta(milliseconds=50))
    return ctx.current_utc_datetime - before >= timedelta(milliseconds=100)


@runtime.workflow
def counting(ctx: wf.DaprWorkflowContext, number: int) -> Workflow:
    yield ctx.create_timer(timedelta(0))
    if number < 3:
        ctx.continue_as_new(number + 1)
    return number


@runtime.workflow
def patched(ctx: wf.DaprWorkflowContext) -> bool:
    return bool(ctx.is_patched("a-patch"))


def finished(instance_id: str) -> Any:
    state = client.wait_for_workflow_completion(instance_id, timeout_in_seconds=TIMEOUT)
    assert state is not None, f"{instance_id} is unknown"
    assert state.runtime_status.name == "COMPLETED", str(state)
    return json.loads(state.serialized_output)


def run(workflow: Callable[..., Any], argument: Any = None) -> Any:
    return finished(client.schedule_new_workflow(workflow, input=argument))


def events() -> Any:
    instance_id = client.schedule_new_workflow(waiting)
    started = client.wait_for_workflow_start(
        instance_id, fetch_payloads=True, timeout_in_seconds=TIMEOUT
    )
    client.raise_workflow_event(instance_id, "Approval", data={"by": "me"})
    return [started is not None, finished(instance_id)]


def failures() -> Any:
    instance_id = client.schedule_new_workflow(failing)
    state = client.wait_for_workflow_completion(instance_id, timeout_in_seconds=TIMEOUT)
    details = state.to_json()["failure_details"]
    return [
        state.runtime_status.name,
        details["error_type"],
        "this never works" in details["message"],
    ]


def management() -> Any:
    instance_id = client.schedule_new_workflow(
        waiting, instance_id="managed", start_at=datetime(2020, 1, 1)
    )
    client.wait_for_workflow_start(instance_id, timeout_in_seconds=TIMEOUT)
    seen = []
    client.pause_workflow(instance_id)
    seen.append(state_becomes("managed", "SUSPENDED"))
    client.resume_workflow(instance_id)
    seen.append(state_becomes("managed", "RUNNING"))
    client.terminate_workflow(instance_id, output="enough")
    state = client.wait_for_workflow_completion(instance_id, timeout_in_seconds=TIMEOUT)
    seen += [state.runtime_status.name, state.serialized_output]
    client.purge_workflow(instance_id)
    seen.append(client.get_workflow_state(instance_id))
    return seen


def state_becomes(instance_id: str, wanted: str) -> str:
    """The status of an instance, once it is the one wanted, or after a while."""
    for _ in range(TIMEOUT * 50):
        status = client.get_workflow_state(instance_id).runtime_status.name
        if status == wanted:
            return wanted
        asyncio.run(asyncio.sleep(0.02))
    return str(status)


def async_client() -> Any:
    async def use() -> Any:
        async_ = AsyncWorkflowClient(host=host, port=port)
        instance_id = await async_.schedule_new_workflow(waiting)
        await async_.wait_for_workflow_start(instance_id, timeout_in_seconds=TIMEOUT)
        await async_.pause_workflow(instance_id)
        await async_.resume_workflow(instance_id)
        await async_.raise_workflow_event(instance_id, "approval", data=True)
        state = await async_.wait_for_workflow_completion(instance_id, timeout_in_seconds=TIMEOUT)
        found = [state.runtime_status.name, json.loads(state.serialized_output)]
        await async_.purge_workflow(instance_id)
        found.append(await async_.get_workflow_state(instance_id))
        second = await async_.schedule_new_workflow(waiting)
        await async_.terminate_workflow(second, output=1)
        state = await async_.wait_for_workflow_completion(second, timeout_in_seconds=TIMEOUT)
        return [*found, state.runtime_status.name]

    return asyncio.run(use())


def versions() -> Any:
    """An instance goes on with the version that it began with, in a runtime whose latest is another."""

    def runtime_with(latest: str) -> Any:
        def first(ctx: wf.DaprWorkflowContext) -> Workflow:
            yield ctx.wait_for_external_event("go")
            return "v1"

        def second(ctx: wf.DaprWorkflowContext) -> Workflow:
            yield ctx.create_timer(timedelta(0))
            return "v2"

        versioned = wf.WorkflowRuntime(host=host, port=port)
        versioned.versioned_workflow(name="versioned", version_name="v1", is_latest=latest == "v1")(
            first
        )
        if latest == "v2":
            versioned.register_versioned_workflow(
                second, name="versioned", version_name="v2", is_latest=True
            )
        versioned.start()
        return versioned

    def versioned() -> None:
        """Its name is all that the client asks for."""

    before = runtime_with("v1")
    old = client.schedule_new_workflow(versioned)
    client.wait_for_workflow_start(old, timeout_in_seconds=TIMEOUT)
    before.shutdown()
    after = runtime_with("v2")
    try:
        new = client.schedule_new_workflow(versioned)
        client.raise_workflow_event(old, "go")
        return [finished(old), finished(new)]
    finally:
        after.shutdown()


def main() -> None:
    runtime.start()
    results = {
        "chaining": run(chain, 1),
        "fan-out": run(fan_out, [1, 2, 3]),
        "child workflows": run(parent, 0),
        "retries": run(retrying),
        "events": events(),
        "timers": run(ticking),
        "continue as new": run(counting, 1),
        "patches": run(patched),
        "failures": failures(),
        "management": management(),
        "async client": async_client(),
    }
    runtime.shutdown()
    results["versions"] = versions()
    client.close()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
