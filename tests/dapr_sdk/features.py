"""What people do with dapr.ext.workflow, as one program: chains, fan-outs, models, retries, events, histories, …

It knows nothing of the engine below: `python features.py ADDRESS` runs on Dapr's own, `python -m durabletask.dapr
features.py ADDRESS` on this package's. The output is JSON: what each scenario found, by its name, or the failure that
it met. Versions of the SDK that lack something leave that scenario out.
"""

# mypy: disable-error-code="import-not-found, untyped-decorator, misc"

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dapr.ext.workflow as wf
import grpc
from dapr.ext.workflow.aio import DaprWorkflowClient as AsyncWorkflowClient

Workflow = Generator[Any, Any, Any]
TIMEOUT = 30

address = sys.argv[1]
host, port = address.rsplit(":", 1)


class Observer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Looks at the messages of the worker, as interceptors may."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        if getattr(request, "taskId", 0):
            self.seen.add(f"{type(request).__name__} with a token: {bool(request.completionToken)}")
        return continuation(details, request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self.seen.add(type(request).__name__)
        return self._items(continuation(details, request))

    def _items(self, call: Any) -> Any:
        for item in call:
            self.seen.add(item.WhichOneof("request"))
            yield item


observer = Observer()
runtime = wf.WorkflowRuntime(host=host, port=port, worker_ready_timeout=20, interceptors=[observer])
client = wf.DaprWorkflowClient(host=host, port=port)
attempts: dict[str, int] = {}


class Order:
    """A model by what it can do; pydantic's are such, too."""

    def __init__(self, item: str, amount: int):
        self.item, self.amount = item, amount

    def model_dump(self) -> dict[str, Any]:
        return {"item": self.item, "amount": self.amount}

    @classmethod
    def model_validate(cls, value: dict[str, Any]) -> Order:
        return cls(**value)


@dataclass
class DataOrder:
    """A model that is a dataclass besides."""

    amount: int

    def model_dump(self) -> dict[str, Any]:
        return {"amount": self.amount}

    @classmethod
    def model_validate(cls, value: dict[str, Any]) -> DataOrder:
        return cls(**value)


@runtime.activity
def add_one(_: wf.WorkflowActivityContext, number: int) -> int:
    return number + 1


@runtime.activity(name="squared")
async def square(_: wf.WorkflowActivityContext, number: int) -> int:
    await asyncio.sleep(0)
    return number * number


@runtime.activity
def doubled(_: wf.WorkflowActivityContext, order: Order) -> Order:
    return Order(order.item, order.amount * 2)


@runtime.activity
def data_doubled(_: wf.WorkflowActivityContext, order: DataOrder) -> DataOrder:
    return DataOrder(order.amount * 2)


@runtime.activity
def flaky(ctx: wf.WorkflowActivityContext) -> int:
    attempts[ctx.workflow_id] = attempts.get(ctx.workflow_id, 0) + 1
    if attempts[ctx.workflow_id] < 3:
        raise ConnectionError(f"attempt {attempts[ctx.workflow_id]} failed")
    return attempts[ctx.workflow_id]


@runtime.activity
async def broken(_: wf.WorkflowActivityContext) -> None:
    raise ValueError("this never works")


@runtime.activity
def slow(_: wf.WorkflowActivityContext) -> str:
    time.sleep(0.2)
    return "slow"


@runtime.activity
def handed_on(ctx: wf.WorkflowActivityContext) -> Any:
    history = ctx.get_propagated_history()
    return None if history is None else [w.name for w in history.get_workflows()]


RETRY = wf.RetryPolicy(
    first_retry_interval=timedelta(milliseconds=20),
    max_number_of_attempts=3,
    retry_timeout=timedelta(seconds=60),
)


@runtime.workflow
def chain(ctx: wf.DaprWorkflowContext, number: int) -> Workflow:
    for _ in range(3):
        number = yield ctx.call_activity(add_one, input=number)
    return number


@runtime.workflow
def fan_out(ctx: wf.DaprWorkflowContext, numbers: list[int]) -> Workflow:
    squares = yield wf.when_all([ctx.call_activity(square, input=each) for each in numbers])
    return sum(squares)


@runtime.workflow
def failing_fan_out(ctx: wf.DaprWorkflowContext) -> Workflow:
    """Whether `when_all` waits for all before it fails differs between versions."""
    late = ctx.call_activity(slow)
    try:
        yield wf.when_all([late, ctx.call_activity(broken)])
    except wf.TaskFailedError as error:
        return [late.is_complete, error.details.error_type, error.details.message]


@runtime.workflow
def models(ctx: wf.DaprWorkflowContext, order: Order) -> Workflow:
    first = yield ctx.call_activity(doubled, input=order)
    second = yield ctx.call_activity(data_doubled, input=DataOrder(first["amount"]))
    return [first, second]


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
    try:
        yield ctx.wait_for_external_event("late", timeout=timedelta(milliseconds=20))
    except TimeoutError as error:
        late = str(error)
    number = yield ctx.call_activity(add_one, input=1)
    return {"approval": approved, "timer won": winner is timer, "late": late, "then": number}


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


@runtime.workflow
def propagating(ctx: wf.DaprWorkflowContext) -> Workflow:
    yield ctx.call_activity(add_one, input=1)
    scope = wf.PropagationScope.OWN_HISTORY
    seen = yield ctx.call_activity(handed_on, propagation=scope)
    child = yield ctx.call_child_workflow(propagated, propagation=scope)
    return [seen, child]


@runtime.workflow
def propagated(ctx: wf.DaprWorkflowContext) -> Any:
    history = ctx.get_propagated_history()
    if history is None:
        return None
    before = history.get_last_workflow_by_name("propagating")
    return [before.instance_id == "propagates", before.get_last_activity_by_name("add_one").output]


class FailedError(Exception):
    """A workflow of a scenario has not completed."""


def finished(instance_id: str) -> Any:
    state = client.wait_for_workflow_completion(instance_id, timeout_in_seconds=TIMEOUT)
    assert state is not None, f"{instance_id} is unknown"
    if state.runtime_status.name != "COMPLETED":
        raise FailedError(str(state))
    return json.loads(state.serialized_output)


def run(workflow: Callable[..., Any], argument: Any = None, instance_id: str | None = None) -> Any:
    return finished(client.schedule_new_workflow(workflow, input=argument, instance_id=instance_id))


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
    message = details["message"].replace(instance_id, "ID")
    return [state.runtime_status.name, details["error_type"], message]


def becomes(instance_id: str, wanted: str) -> str:
    """The status of an instance, once it is the one wanted, or after a while."""
    for _ in range(TIMEOUT * 50):
        status = client.get_workflow_state(instance_id).runtime_status.name
        if status == wanted:
            return wanted
        time.sleep(0.02)
    return str(status)


def management() -> Any:
    client.schedule_new_workflow(waiting, instance_id="managed")
    client.wait_for_workflow_start("managed", timeout_in_seconds=TIMEOUT)
    client.pause_workflow("managed")
    seen = [becomes("managed", "SUSPENDED")]
    client.resume_workflow("managed")
    seen.append(becomes("managed", "RUNNING"))
    client.terminate_workflow("managed", output="enough")
    state = client.wait_for_workflow_completion("managed", timeout_in_seconds=TIMEOUT)
    seen += [state.runtime_status.name, state.serialized_output]
    client.purge_workflow("managed")
    return [*seen, client.get_workflow_state("managed")]


def histories() -> Any:
    """Events, pages of ids, and a copy that is run again from its second call."""
    run(chain, 10, "recorded")
    events = client.get_workflow_history("recorded")
    calls = [event.event_id for event in events if event.is_rerunnable]
    kinds = [event.event_type.name for event in events]
    copy = client.rerun_workflow_from_event(
        "recorded", calls[1], new_instance_id="again", input=100
    )
    page = client.list_workflow_instance_ids(page_size=1)
    ids = set(client.iter_workflow_instance_ids(page_size=2))
    refused = []
    attempts: list[Callable[[], Any]] = [
        lambda: client.list_workflow_instance_ids(page_size=0),
        lambda: client.rerun_workflow_from_event("recorded", -1),
        lambda: client.rerun_workflow_from_event("recorded", 1, new_instance_id=""),
    ]
    for wrong in attempts:
        try:
            wrong()
        except ValueError:
            refused.append("ValueError")
    return {
        "calls": calls,
        "kinds": [kind for kind in kinds if kind.startswith(("TASK", "EXECUTION"))],
        "copy": [copy, finished(copy)],
        "page": [len(page.instance_ids), page.continuation_token is not None],
        "listed": {"recorded", "again"} <= ids,
        "refused": refused,
    }


def async_client() -> Any:
    async def use() -> Any:
        async_ = AsyncWorkflowClient(host=host, port=port)  # 1.18.0 wants the loop to be there
        instance_id = await async_.schedule_new_workflow(waiting)
        await async_.wait_for_workflow_start(instance_id, timeout_in_seconds=TIMEOUT)
        await async_.pause_workflow(instance_id)
        await async_.resume_workflow(instance_id)
        await async_.raise_workflow_event(instance_id, "approval", data=True)
        state = await async_.wait_for_workflow_completion(instance_id, timeout_in_seconds=TIMEOUT)
        found = [state.runtime_status.name, json.loads(state.serialized_output)["approval"]]
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

        versioned = wf.WorkflowRuntime(host=host, port=port, disable_stateful_history=True)
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


def tried(scenario: Callable[[], Any]) -> Any:
    try:
        return scenario()
    except FailedError as error:
        return {"failed": str(error)}


def main() -> None:
    runtime.start()
    scenarios: dict[str, Callable[[], Any]] = {
        "chaining": lambda: run(chain, 1),
        "fan-out": lambda: run(fan_out, [1, 2, 3]),
        "a fan-out that fails": lambda: run(failing_fan_out),
        "models": lambda: run(models, Order("tea", 2)),
        "child workflows": lambda: run(parent, 0),
        "retries": lambda: run(retrying),
        "events": events,
        "timers": lambda: run(ticking),
        "continue as new": lambda: run(counting, 1),
        "patches": lambda: run(patched),
        "failures": failures,
        "management": management,
        "async client": async_client,
        "propagation": lambda: run(propagating, instance_id="propagates"),
    }
    if hasattr(client, "get_workflow_history"):
        scenarios["histories"] = histories
    results = {name: tried(scenario) for name, scenario in scenarios.items()}
    runtime.shutdown()
    results["messages"] = sorted(observer.seen)
    if hasattr(client, "get_workflow_history"):  # 1.18 has no disable_stateful_history either
        results["versions"] = versions()
    client.close()
    engine = sys.modules["dapr.ext.workflow._durabletask.worker"].__file__
    print(json.dumps({"engine": engine, "results": results}))


if __name__ == "__main__":
    main()
