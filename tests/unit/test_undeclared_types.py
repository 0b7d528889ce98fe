"""What is converted without `typed_payloads`: next to nothing, so that programs from 0.17 run on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Annotated, Any, Generic, NamedTuple, Optional, TypeVar, Union

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabletask._payloads.undeclared import undeclared_reader_of
from durabletask.internal.shared import from_json, to_json

from support.history import History
from support.replaying import output, play

T = TypeVar("T")


@dataclass
class Customer:
    name: str


@dataclass(frozen=True)
class Order:
    id: int
    customer: Customer
    notes: list[str] = field(default_factory=list)


@dataclass
class Guarded:
    id: int
    seen: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        raise AssertionError("no code of the class is run")


@dataclass(slots=True)
class Slotted:
    id: int


@dataclass
class Box(Generic[T]):
    content: T


class Point(NamedTuple):
    x: int
    y: int = 0


class Model(pydantic.BaseModel):
    id: int


class Root(pydantic.RootModel[list[int]]):
    pass


@dataclass
class Odd(Exception):
    id: int


def read(hint: Any, written: Any) -> Any:
    value = from_json(to_json(written))
    reader = undeclared_reader_of(hint)
    return value if reader is None else reader(value)


@pytest.mark.parametrize("hint", [Order, Optional[Order], Order | None, Annotated[Order, "it"]])  # noqa: UP045
def test_what_was_written_as_a_dataclass_is_read_as_the_one_annotated(hint: Any) -> None:
    found = read(hint, Order(1, Customer("Ada")))
    assert type(found) is Order
    # What is in it is what it was as an attribute of a namespace.
    assert found.customer == SimpleNamespace(name="Ada")


@pytest.mark.parametrize("value", [Point(1, 2), Slotted(1), Box([1])], ids=repr)
def test_named_tuples_slots_and_generics_are_read_too(value: Any) -> None:
    assert read(Box[list[int]] if isinstance(value, Box) else type(value), value) == value


def test_no_code_of_the_class_is_run() -> None:
    found = read(Guarded, SimpleNamespace(id=1, seen=7))
    assert type(found) is Guarded
    assert (found.id, found.seen) == (1, 7)


@pytest.mark.parametrize(
    ("hint", "written"),
    [
        (Order, SimpleNamespace(id=1, customer=None)),  # a field less
        (Point, SimpleNamespace(x=1, y=2, z=3)),  # one more
        (Odd, SimpleNamespace(id=1)),  # cannot be made without its own code
        (list[Order], [SimpleNamespace(id=1, customer=2, notes=3)]),
        (Union[Order, Point], SimpleNamespace(x=1, y=2)),  # noqa: UP007
        (Order | str, SimpleNamespace(id=1, customer=2, notes=3)),
        (SimpleNamespace, SimpleNamespace(x=1)),
        (Order, {"id": 1, "customer": {"name": "Ada"}, "notes": []}),
        (Point, [1, 2]),
        (Model, '{"id": 1}'),
        (Model, [1]),
    ],
    ids=str,
)
def test_all_else_is_left_as_it_was(hint: Any, written: Any) -> None:
    assert read(hint, written) == from_json(to_json(written))


@pytest.mark.parametrize("hint", [Model, Model | None, Annotated[Model, 1]], ids=str)
@pytest.mark.parametrize("written", [{"id": 1}, SimpleNamespace(id="1"), Model(id=1)], ids=repr)
def test_objects_become_models(hint: Any, written: Any) -> None:
    assert read(hint, written) == Model(id=1)


def test_a_root_model_takes_whatever_it_takes() -> None:
    assert read(Root, [1, 2]) == Root([1, 2])


def test_none_stays_none() -> None:
    for hint in (Order, Point, Model, Root):
        reader = undeclared_reader_of(hint)
        assert reader is not None
        assert reader(None) is None


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0x100)))
def test_texts_are_written_as_json_writes_them(text: str) -> None:
    def orchestrator(ctx: Any, _: Any) -> Any:
        return text

    assert to_json(text) == json.dumps(text)
    assert output(play(History("orchestrator"), orchestrator)) == json.dumps(text)


def test_delete_is_written_as_json_writes_it() -> None:
    for text in ("\x7f", "longer than eight\x7f", "\x7f longer than eight"):
        assert output(play(History("echo", text), echo)) == json.dumps(text)


def echo(ctx: Any, value: Any) -> Any:
    return value
