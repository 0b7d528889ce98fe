"""Shows what orchestrators and activities receive, under annotations of all kinds, and what they can do with it.

A program of its own, written for durabletask-dapr 0.17.4 and run with whatever `durabletask` is installed:

    python received.py ADDRESS

The output is JSON: for each annotation and each payload, what arrived at an activity and at an
orchestrator. Of objects with attributes only these are shown, whatever class they are of.
"""

# ruff: noqa: UP006, UP007, UP035, UP045, RUF005 - as programs have it
from __future__ import annotations

import dataclasses
import json
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from types import SimpleNamespace
from typing import AbstractSet, Any, FrozenSet, List, NamedTuple, Optional, Set, Tuple, Union
from uuid import UUID

from durabletask.client import TaskHubGrpcClient
from durabletask.internal.shared import to_json
from durabletask.task import when_all
from durabletask.worker import TaskHubGrpcWorker


@dataclass
class Customer:
    name: str


@dataclass
class Order:
    id: int
    customer: Optional[Customer] = None
    lines: List[Any] = field(default_factory=list)
    due: Optional[datetime] = None


@dataclass(frozen=True)
class Strict:
    id: int

    def __post_init__(self) -> None:
        raise AssertionError("no code of a class runs because of an annotation")


@dataclass
class Counted:
    id: int
    made: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.id += 100


class Point(NamedTuple):
    x: int
    y: Any = None


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


HINTS: dict[str, Any] = {
    str(hint).replace("__main__.", ""): hint
    for hint in (
        *(Any, object, Order, Strict, Counted, Customer, Point, Color, Level, SimpleNamespace),
        *(Optional[Order], List[Order], Union[Order, Point], Union[Order, str], dict[str, Order]),
        *(
            int,
            float,
            str,
            bool,
            bytes,
            list,
            tuple,
            set,
            frozenset,
            dict,
            datetime,
            date,
            UUID,
            Decimal,
        ),
        *(
            Set,
            FrozenSet,
            AbstractSet,
            Tuple,
            Set[int],
            Tuple[int, str],
            List[datetime],
            dict[str, UUID],
        ),
        *("Order", "Unknown", "Optional[Order]"),
    )
}

COUNTED = Counted(1)
# Named tuples inside other values and dataclasses inside dataclasses are left out: 0.17.4 loses the names of the first,
# and hands out the second as dicts; here both keep their names.
VALUES: list[Any] = [
    *(
        0,
        1,
        1.5,
        True,
        "",
        "red",
        "\x7f",
        "2024-01-02T03:04:05",
        "2024-01-02",
        "AQI=",
        str(UUID(int=7)),
    ),
    *([], [1, "a"], [1, 1], ["2024-01-02T03:04:05"], {}, {"k": str(UUID(int=7))}, {"name": "Ada"}),
    *({"id": 1, "customer": {"name": "Ada"}}, {"id": "one"}, {"x": 1, "y": 2}, {"k": {"id": 1}}),
    *(
        Order(1, None, [[1, 2], {"id": 2}]),
        [Order(1), Customer("Ada")],
        {"k": Order(1)},
    ),
    *(Customer("Ada"), Point(1, [2, 3]), [[1, 2]], Point(1, Order(1))),
    *(SimpleNamespace(id=1), SimpleNamespace(id=1, more=2), SimpleNamespace(name="Ada", id=3)),
    *(SimpleNamespace(x=1, y=Order(1)), SimpleNamespace(), COUNTED, OrderedDict(id=1), Level.LOW),
    SimpleNamespace(id=1, customer={"name": "Ada"}, lines=[[1, 2]], due="2024-01-02T03:04:05"),
    SimpleNamespace(id=1, customer=Customer("Ada"), lines=[], due="2024-01-02T03:04:05"),
]


def shown(value: Any) -> Any:
    """A value with the classes of all that is in it, but for objects with attributes."""
    if isinstance(value, SimpleNamespace):
        return {"attributes": {name: shown(item) for name, item in vars(value).items()}}
    if dataclasses.is_dataclass(value):
        names = [each.name for each in dataclasses.fields(value)]
        return {"attributes": {name: shown(getattr(value, name)) for name in names}}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {"attributes": {name: shown(getattr(value, name)) for name in value._fields}}
    if isinstance(value, dict):
        return {type(value).__name__: {str(key): shown(item) for key, item in value.items()}}
    if isinstance(value, (list, tuple, set)):
        return {type(value).__name__: [shown(item) for item in value]}
    return f"{type(value).__name__} {value!r}"


def used(value: Any) -> list[str]:
    """What programs do with payloads, with how it went."""
    return [
        tried(lambda: value["id"]),
        tried(lambda: value.id),
        tried(lambda: value.customer["name"]),
        tried(lambda: value.split("T")),
        tried(lambda: value + ["x"]),
        tried(lambda: [first + second for first, second in value]),
        tried(lambda: value.y),
        tried(lambda: value.lines[0][0]),
        tried(lambda: value > 0),
    ]


def tried(use: Any) -> str:
    try:
        return repr(shown(use()))
    except Exception as error:
        return type(error).__name__


def activity_for(number: int, hint: Any) -> Any:
    def activity(ctx: Any, value: Any) -> Any:
        return [shown(value), used(value), to_json(value)]

    activity.__name__ = f"activity_{number}"
    activity.__annotations__["value"] = hint
    return activity


def orchestrator_for(number: int, hint: Any) -> Any:
    def orchestrator(ctx: Any, value: Any) -> Any:
        return [shown(value), used(value), to_json(value)]

    orchestrator.__name__ = f"orchestrator_{number}"
    orchestrator.__annotations__["value"] = hint
    return orchestrator


def all_payloads(ctx: Any, number: int) -> Any:
    tasks = []
    for value in VALUES:
        tasks.append(ctx.call_activity(f"activity_{number}", input=value))
        tasks.append(ctx.call_sub_orchestrator(f"orchestrator_{number}", input=value))
    return (yield when_all(tasks))


def results(ctx: Any, _: Any) -> Any:
    found = []
    for index in range(len(VALUES)):
        found.append(shown((yield ctx.call_activity(echoed, input=index))))
    return found


def echoed(ctx: Any, index: int) -> Any:
    return VALUES[index]


def main() -> None:
    with TaskHubGrpcWorker(host_address=sys.argv[1]) as worker:
        for number, hint in enumerate(HINTS.values()):
            worker.add_activity(activity_for(number, hint))
            worker.add_orchestrator(orchestrator_for(number, hint))
        for orchestrator in (all_payloads, results):
            worker.add_orchestrator(orchestrator)
        worker.add_activity(echoed)
        worker.start()

        client = TaskHubGrpcClient(host_address=sys.argv[1])
        started = {
            name: client.schedule_new_orchestration(all_payloads, input=number)
            for number, name in enumerate(HINTS)
        }
        started["results"] = client.schedule_new_orchestration(results)
        found = {}
        for name, instance_id in started.items():
            state = client.wait_for_orchestration_completion(instance_id, timeout=60)
            assert state is not None
            state.raise_if_failed()
            found[name] = json.loads(state.serialized_output or "null")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
