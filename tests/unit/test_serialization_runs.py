"""Typed payloads and payload converters in orchestrations, kept alive between turns or replayed."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial, wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from durabletask.aio.client import AsyncTaskHubGrpcClient
from durabletask.client import OrchestrationState, TaskHubGrpcClient
from durabletask.internal.shared import to_json
from durabletask.payloads import JsonConverter, PayloadConverter, convert
from durabletask.replay import Replayer
from durabletask.sidecar import Sidecar
from durabletask.worker import ReplayCacheOptions, TaskHubGrpcWorker

from support import messages
from support.history import History
from support.replaying import failure, output

if TYPE_CHECKING:
    from durabletask.task import ActivityContext, OrchestrationContext

SOON = 60


@dataclass
class Order:
    id: UUID
    due: datetime
    notes: bytes = b""


ORDER = Order(UUID(int=7), datetime(2026, 1, 2, 3), b"\x00fragile")


class Veiled:
    """Writes what nobody else can read: base64 of the JSON, in quotes."""

    def __init__(self) -> None:
        self.hints: list[Any] = []
        self.lock = threading.Lock()

    def to_json(self, value: Any) -> str:
        return json.dumps("veiled:" + base64.b64encode(to_json(value).encode()).decode())

    def from_json(self, text: str, hint: Any) -> Any:
        with self.lock:
            self.hints.append(hint)
        veil, _, inner = json.loads(text).partition(":")
        assert veil == "veiled", text
        return JsonConverter().from_json(base64.b64decode(inner).decode(), hint)


def ship(_: ActivityContext, order: Order) -> str:
    assert order == ORDER, order
    return f"shipped {order.id.int}"


async def bill(_: ActivityContext, orders: list[Order]) -> Order:
    assert orders == [ORDER], orders
    return orders[0]


def part(ctx: OrchestrationContext, order: Order | None) -> Any:
    assert order == ORDER, order
    return (yield ctx.call_activity(ship, input=order))


async def part_async(ctx: OrchestrationContext, order: Order) -> Any:
    return await ctx.call_activity(ship, input=order)


def whole(ctx: OrchestrationContext, order: Order) -> Any:
    assert order == ORDER, order
    first = yield ctx.call_sub_orchestrator(part, input=order)
    second = yield ctx.call_sub_orchestrator(part_async, input=order)
    bare = yield ctx.call_activity(bill, input=[order])
    assert isinstance(bare, SimpleNamespace), bare
    billed = convert(bare, Order)
    event = yield ctx.wait_for_external_event("signed")
    early = yield ctx.wait_for_external_event("early")
    rest = yield ctx.call_sub_orchestrator(again, input=order)
    assert billed == ORDER
    return {"steps": [first, second, rest], "events": [event, early], "id": billed.id}


def again(ctx: OrchestrationContext, order: Order) -> Any:
    yield ctx.create_timer(timedelta(0))
    if order.notes:
        ctx.continue_as_new(Order(order.id, order.due))
    return order.due


@pytest.fixture(scope="module")
def sidecar() -> Iterator[Sidecar]:
    with Sidecar() as sidecar:
        yield sidecar


@contextmanager
def working(
    sidecar: Sidecar, converter: PayloadConverter | None, cached: bool
) -> Iterator[TaskHubGrpcClient]:
    worker = TaskHubGrpcWorker(
        host_address=sidecar.address,
        replay_cache=ReplayCacheOptions() if cached else None,
        payload_converter=converter,
        typed_payloads=True,
    )
    with (
        worker,
        TaskHubGrpcClient(host_address=sidecar.address, payload_converter=converter) as client,
    ):
        for orchestrator in (whole, part, part_async, again):
            worker.add_orchestrator(orchestrator)
        worker.add_activity(ship)
        worker.add_activity(bill)
        worker.start()
        yield client


def ended(client: TaskHubGrpcClient, instance_id: str) -> OrchestrationState:
    state = client.wait_for_orchestration_completion(instance_id, timeout=SOON)
    assert state is not None
    state.raise_if_failed()
    return state


@pytest.mark.parametrize("cached", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("veiled", [False, True], ids=["default", "converter"])
def test_declared_types_arrive_everywhere(sidecar: Sidecar, veiled: bool, cached: bool) -> None:
    converter = Veiled() if veiled else None
    with working(sidecar, converter, cached) as client:
        instance_id = client.schedule_new_orchestration(whole, input=ORDER)
        client.raise_orchestration_event(instance_id, "early", data=[1])
        client.raise_orchestration_event(instance_id, "signed", data={"by": UUID(int=1)})
        state = ended(client, instance_id)
    text = state.serialized_output
    assert text is not None
    assert veiled == ("veiled:" in text)
    assert veiled == ("veiled:" in (state.serialized_input or ""))
    result = converter.from_json(text, None) if converter else json.loads(text)
    assert result == {
        "steps": ["shipped 7", "shipped 7", "2026-01-02T03:00:00"],
        "events": [{"by": str(UUID(int=1))}, [1]],
        "id": str(UUID(int=7)),
    }
    if converter is not None:
        assert {str(hint) for hint in converter.hints} == {
            str(hint) for hint in (None, Order, Order | None, list[Order])
        }


def test_the_asyncio_client_converts(sidecar: Sidecar) -> None:
    converter = Veiled()

    async def schedule() -> str:
        async with AsyncTaskHubGrpcClient(
            host_address=sidecar.address, payload_converter=converter
        ) as client:
            return await client.schedule_new_orchestration(part, input=ORDER)

    with working(sidecar, converter, True) as client:
        state = ended(client, asyncio.run(schedule()))
    assert converter.from_json(state.serialized_output or "", None) == "shipped 7"


WRITTEN = json.loads(to_json(ORDER))


def replayed(orchestrator: Any, written: Any = WRITTEN) -> Any:
    orchestrator = orchestrator if hasattr(orchestrator, "__name__") else named(orchestrator)
    history = History(orchestrator.__name__, written).encode()
    response = Replayer([orchestrator], typed_payloads=True).execute(history)
    return messages.OrchestratorResponse.FromString(response)


def named(orchestrator: Any) -> Any:
    orchestrator.__name__ = "orchestrator"
    return orchestrator


def kind_of(value: Any) -> str:
    return type(value).__name__


class Callable_:  # noqa: N801
    def __call__(self, ctx: Any, order: Order) -> str:
        return kind_of(order)


class Holder:
    def method(self, ctx: Any, order: Order) -> str:
        return kind_of(order)


def with_option(option: int, ctx: Any, order: Order) -> str:
    return kind_of(order)


def decorated(fn: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(fn)
    def call(*arguments: Any) -> Any:
        return fn(*arguments)

    return call


@decorated
def with_decorator(ctx: UnknownContext, order: Order) -> str:  # type: ignore[name-defined]  # noqa: F821
    return kind_of(order)


@pytest.mark.parametrize(
    "orchestrator",
    [Callable_(), Holder().method, partial(with_option, 1), with_decorator],
    ids=["object", "method", "partial", "decorated"],
)
def test_the_annotation_is_found_on_all_that_can_be_called(orchestrator: Any) -> None:
    assert output(replayed(orchestrator)) == '"Order"'


def test_types_of_enclosing_functions_are_found() -> None:
    @dataclass
    class Local:
        id: UUID

    def orchestrator(ctx: Any, it: Local) -> str:
        return f"{kind_of(it)} {Local.__name__} {kind_of(it.id)}"

    assert output(replayed(orchestrator)) == '"Local Local UUID"'


def untyped(ctx: Any, order) -> str:  # type: ignore[no-untyped-def]
    return kind_of(order)


def anything(ctx: Any, order: Any) -> str:
    return kind_of(order)


def unknown(ctx: Any, order: Unknown) -> str:  # type: ignore[name-defined]  # noqa: F821
    return kind_of(order)


def numbered(ctx: Any, order: int) -> str:
    return kind_of(order)


@pytest.mark.parametrize("orchestrator", [untyped, anything, unknown, numbered])
def test_without_an_annotation_that_is_understood_nothing_is_converted(orchestrator: Any) -> None:
    assert output(replayed(orchestrator)) == '"SimpleNamespace"'
    assert output(replayed(orchestrator, [1])) == '"list"'


def test_no_input_stays_none() -> None:
    def orchestrator(ctx: Any, order: Order) -> str:
        return kind_of(order)

    assert output(replayed(orchestrator, None)) == '"NoneType"'


def test_an_input_that_does_not_fit_says_so() -> None:
    def orchestrator(ctx: Any, order: Order) -> None: ...

    details = failure(replayed(orchestrator, {"id": "seven"}))
    assert details.errorType == "PayloadTypeError"
    assert details.errorMessage.startswith(
        "The input of 'orchestrator' does not fit its annotation: Order.id: expected a UUID, "
        "found str."
    )


def test_a_converter_that_returns_no_text_fails_the_call() -> None:
    class Broken(Veiled):
        def to_json(self, value: Any) -> Any:
            return value

    def orchestrator(ctx: Any, _: Any) -> Any:
        yield ctx.call_activity("a", input=[1])

    replayer = Replayer([orchestrator], payload_converter=Broken())
    response = messages.OrchestratorResponse.FromString(
        replayer.execute(History("orchestrator").encode())
    )
    message = "PayloadConverter.to_json must return a str, found list for a value of type list"
    assert failure(response).errorMessage == message


def test_a_replayer_reads_as_its_worker_does() -> None:
    for typed in (False, True):
        worker = TaskHubGrpcWorker(host_address="localhost:1", typed_payloads=typed)
        worker.add_orchestrator(part)
        history = History("part", {"id": str(ORDER.id), "due": "2026-01-02T03:00:00"}).encode()
        response = Replayer.from_worker(worker).execute(history)
        details = failure(messages.OrchestratorResponse.FromString(response))
        # The notes are missing, so that `part` says what it received.
        assert details.errorType == "AssertionError"
        assert details.errorMessage.startswith("Order(" if typed else "{'id'")


def test_a_replayer_takes_the_converter_of_its_worker() -> None:
    worker = TaskHubGrpcWorker(host_address="localhost:1", payload_converter=Veiled())
    worker.add_orchestrator(anything)
    text = Veiled().to_json(ORDER)
    history = History("anything", json.loads(text)).encode()
    response = Replayer.from_worker(worker).execute(history)
    written = output(messages.OrchestratorResponse.FromString(response))
    assert Veiled().from_json(written, None) == "SimpleNamespace"


def test_checks_of_histories_convert_too() -> None:
    def orchestrator(ctx: Any, order: Order) -> Any:
        result = yield ctx.call_activity("a", input=order)
        return result

    converter = Veiled()
    history = History("orchestrator", json.loads(converter.to_json(ORDER)))
    history.scheduled(1, "a").turn().completed(1, json.loads(converter.to_json("done")))
    result = Replayer([orchestrator], payload_converter=converter).check(history.encode())
    assert result.status.name == "OK", result
    assert converter.hints == [Order, None]
