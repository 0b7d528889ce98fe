"""Shows how payloads are written on every way that they take, and what workflows and activities receive.

It knows nothing of the engine below: `python payloads.py ADDRESS`. The output is JSON: for each value what was written
where, and what arrived and could be done with it.
"""

# mypy: disable-error-code="import-not-found, untyped-decorator, misc"

from __future__ import annotations

import dataclasses
import json
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import IntEnum
from types import SimpleNamespace
from typing import Any, NamedTuple

import dapr.ext.workflow as wf

Workflow = Generator[Any, Any, Any]


class Point(NamedTuple):
    x: Any
    y: Any = None


@dataclass
class Customer:
    name: Any


@dataclass(frozen=True)
class Line:
    item: str
    at: Point


@dataclass
class Order:
    id: int
    customer: Customer | None = None
    lines: list[Any] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)


class Model:
    """A model by what it can do; what it dumps may be of any class."""

    def __init__(self, of: Any):
        self.of = of

    def model_dump(self) -> dict[str, Any]:
        return {"of": self.of}

    @classmethod
    def model_validate(cls, value: dict[str, Any]) -> Model:
        return cls(value["of"])


@dataclass
class DataModel:
    """A model that is a dataclass besides."""

    of: Any

    def model_dump(self) -> dict[str, Any]:
        return {"of": self.of}

    @classmethod
    def model_validate(cls, value: dict[str, Any]) -> DataModel:
        return cls(**value)


class NamedModel(NamedTuple):
    """A model that is a named tuple besides."""

    of: Any

    def model_dump(self) -> dict[str, Any]:
        return {"of": self.of}

    @classmethod
    def model_validate(cls, value: dict[str, Any]) -> NamedModel:
        return cls(**value)


class Level(IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


class Dict(dict[str, Any]):
    pass


VALUES: list[Any] = [
    *(0, 1.5, True, False, "", "Zürich \x7f \ud83d", [], {}, [None], {"": None}, {2: 2, None: 3, True: 4}),
    *(float("inf"), 10**30, -0.0, [1, [2, {"a": (3, 4)}]], (1, 2), OrderedDict(b=1, a=2), Level.LOW, Text("t")),
    *(Point(1, 2), [Point(1, 2), Point(3)], {"at": Point(1, (2, Point(3)))}, (Point(1, 2),), Point(1, Point(2, 3))),
    *(Point(Customer("Ada"), [Customer("Eve")]), Point({"a": Point(1)}, SimpleNamespace(p=Point(1)))),
    *(Customer("Ada"), [Customer("Ada")], {"by": Customer("Ada")}, Customer(Customer("Eve")), Customer(Point(1))),
    Order(1, Customer("Ada"), [Customer("Eve"), Point(1, 2), Line("tea", Point(1))], {"k": Customer(Point(1, 2))}),
    *(Order(1, None, [], {"c": [{"d": Customer("Ada")}]}), Line("tea", Point(1, 2)), Customer(Model(1))),
    *(SimpleNamespace(id=1, of=SimpleNamespace(id=2)), SimpleNamespace(at=Point(1, 2), by=Customer("Ada"))),
    *(SimpleNamespace(), [SimpleNamespace(a=[SimpleNamespace(b=1)])], Customer(SimpleNamespace(a=Customer(1)))),
    *(Model(1), [Model(Model(2))], Model(Point(1, 2)), Model(Customer("Ada")), Model([Customer(Customer("Ada"))])),
    *(DataModel(1), [DataModel(2)], DataModel(DataModel(3)), Order(1, None, [DataModel(1), Model(2)])),
    *(NamedModel(1), [NamedModel(1)], Customer(NamedModel(2)), Dict(a=Point(1)), [Dict(a=Customer("Ada"))]),
    *({"a": Customer, "b": 1}, Customer, Point, object(), {Point(1, 2): 1}, [Exception("x")], b"bytes?"[:0].hex()),
]  # fmt: skip

# Left out is what has no JSON form in Dapr's SDK and has one here, such as dates.

HINTS: list[Any] = [Any, Order, Customer, Point, Model, DataModel, SimpleNamespace, list[Point]]

host, port = sys.argv[1].rsplit(":", 1)
quiet = wf.logger.LoggerOptions(log_level=logging.CRITICAL)
runtime = wf.WorkflowRuntime(host=host, port=port, logger_options=quiet)
client = wf.DaprWorkflowClient(host=host, port=port, logger_options=quiet)


def shown(value: Any) -> Any:
    """A value with the classes of all that is in it."""
    if isinstance(value, SimpleNamespace):
        return {"namespace": {name: shown(item) for name, item in vars(value).items()}}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in dataclasses.fields(value)]
        return {type(value).__name__: {name: shown(getattr(value, name)) for name in names}}
    if isinstance(value, Model):
        return {"Model": shown(value.of)}
    if isinstance(value, dict):
        return {type(value).__name__: {str(key): shown(item) for key, item in value.items()}}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [shown(item) for item in value]}
    return f"{type(value).__name__} {value!r}"


def tried(use: Callable[[], Any]) -> str:
    try:
        return repr(shown(use()))
    except Exception as error:
        return type(error).__name__


def received(value: Any) -> list[Any]:
    """What arrived, and what programs do with it."""
    uses: list[Callable[[], Any]] = [
        lambda: [(a, b) for a, b in value],
        lambda: [a + b for a, b in [value[0]]],
        lambda: value.x,
        lambda: value.customer["name"],
        lambda: value.customer.name,
        lambda: value.lines[1][0],
        lambda: value["at"][1],
        lambda: value["of"],
    ]
    return [shown(value), [tried(use) for use in uses]]


def with_hint(function: Callable[[Any, Any], Any], name: str, hint: Any) -> Any:
    def annotated(ctx: Any, value: Any) -> Any:
        return function(ctx, value)

    annotated.__name__ = name
    annotated.__annotations__["value"] = hint
    return annotated


for number, hint in enumerate(HINTS):
    runtime.workflow(with_hint(lambda ctx, value: received(value), f"workflow_{number}", hint))
    runtime.activity(with_hint(lambda ctx, value: received(value), f"activity_{number}", hint))


@runtime.activity
def returned(_: wf.WorkflowActivityContext, index: int) -> Any:
    return VALUES[index]


@runtime.workflow
def inputs(ctx: wf.DaprWorkflowContext, index: int) -> Workflow:
    """What activities and child workflows receive, whatever they are annotated with."""
    value, found = VALUES[index], []
    for number in range(len(HINTS)):
        found.append((yield ctx.call_activity(f"activity_{number}", input=value)))
        found.append((yield ctx.call_child_workflow(f"workflow_{number}", input=value)))
    return found


@runtime.workflow
def results(ctx: wf.DaprWorkflowContext, index: int) -> Workflow:
    """What comes back."""
    by_activity = yield ctx.call_activity(returned, input=index)
    by_workflow = yield ctx.call_child_workflow(returning, input=index)
    return [received(by_activity), received(by_workflow)]


@runtime.workflow
def returning(ctx: wf.DaprWorkflowContext, index: int) -> Any:
    ctx.set_custom_status(VALUES[index])
    return VALUES[index]


@runtime.workflow
def continuing(ctx: wf.DaprWorkflowContext, value: Any) -> Workflow:
    if isinstance(value, list) and value[:1] == ["begin"]:
        ctx.continue_as_new(VALUES[value[1]])
        return
    ctx.set_custom_status("waiting")
    event = yield ctx.wait_for_external_event("event")
    return [received(value), received(event)]


def started(workflow: Callable[..., Any] | str, value: Any) -> Any:
    """The state of a workflow once it has ended."""
    if isinstance(workflow, str):
        name, workflow = workflow, lambda: None
        workflow.__name__ = name
    return ended(client.schedule_new_workflow(workflow, input=value))


def ended(instance_id: str) -> Any:
    state = client.wait_for_workflow_completion(instance_id, timeout_in_seconds=30)
    assert state is not None
    return state


def outcome(state: Any) -> list[Any]:
    details = state.to_json().get("failure_details")
    return [state.runtime_status.name, state.serialized_output, details and details["error_type"]]


def found_for(index: int) -> dict[str, Any]:
    value = VALUES[index]
    found: dict[str, Any] = {"event is lost": not value}
    for name in ("inputs", "results", "returning"):
        found[name] = outcome(state := started(name, index))
    found["status"] = state.serialized_custom_status
    try:
        state = started("workflow_0", value)
    except Exception as error:
        found["start"] = type(error).__name__
        return found
    found["start"] = [state.serialized_input, *outcome(state)]
    waiting = client.schedule_new_workflow(continuing, input=["begin", index])
    for _ in range(1000):  # an event that comes before a continuation as new would be lost
        if client.get_workflow_state(waiting).serialized_custom_status == "waiting":
            break
        time.sleep(0.01)
    else:
        raise TimeoutError(f"the workflow does not wait: {client.get_workflow_state(waiting)}")
    client.raise_workflow_event(waiting, "event", data=value)
    continued, event = json.loads(ended(waiting).serialized_output)
    return {**found, "continuing": continued, "event": event}


def main() -> None:
    runtime.start()
    try:
        print(json.dumps([found_for(index) for index in range(len(VALUES))]))
    finally:
        runtime.shutdown()
        client.close()


if __name__ == "__main__":
    main()
