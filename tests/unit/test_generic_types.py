"""Typed payloads of classes with type parameters, of typed dicts, and of unions of dataclasses."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from datetime import datetime, timezone
from typing import Annotated, Any, Generic, NamedTuple, TypedDict, TypeVar

import pytest

from durabletask.internal.shared import from_json, to_json
from durabletask.payloads import PayloadTypeError, convert

T = TypeVar("T")
U = TypeVar("U")

NOON = datetime(2024, 1, 1, 12, tzinfo=timezone.utc)


@dataclass
class Item:
    name: str


@dataclass
class Priced(Item):
    price: int = 0


@dataclass
class Page(Generic[T]):
    first: T
    rest: list[T]
    next: Page[T] | None = None


@dataclass
class Orders(Page[Item]):
    count: int = 0


@dataclass
class Pair(Page[U], Generic[U, T]):
    other: T | None = None


class Order(TypedDict, total=False):
    item: Item
    at: datetime


class Placed(NamedTuple):
    order: Order
    page: Page[Item]


@dataclass
class Opened:
    text: str
    secret: InitVar[str]
    size: int = field(init=False)

    def __post_init__(self, secret: str) -> None:
        self.size = len(secret)


ONE, TWO = Item("one"), Item("two")


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (Page[Item], Page(ONE, [TWO], Page(TWO, []))),
        (Page[datetime], Page(NOON, [NOON])),
        (Page[list[Item]], Page([ONE], [[TWO]])),
        (Orders, Orders(ONE, [TWO], count=2)),
        (Pair[Item, datetime], Pair(ONE, [], other=NOON)),
        (Page[Annotated[str, []]], Page("a", ["b"])),
        (Page, Page(1, [2])),
        (Order, {"item": ONE, "at": NOON}),
        (Order, {}),
        (Placed, Placed({"item": ONE}, Page(TWO, []))),
        (Item | Priced, Priced("one", 3)),
        (Priced | Item, Priced("one", 3)),
        (str | Item | Priced, Priced("one", 3)),
    ],
    ids=str,
)
def test_what_is_written_is_read_back(hint: Any, value: Any) -> None:
    read = convert(from_json(to_json(value)), hint)
    assert read == value
    assert type(read) is type(value)


def test_what_a_class_can_not_be_made_without_is_named() -> None:
    with pytest.raises(
        PayloadTypeError, match=r"Opened can not be made again without \['secret'\]"
    ):
        convert(from_json(to_json(Opened("a", "b"))), Opened)


def test_a_wrong_item_of_a_typed_dict_is_named() -> None:
    with pytest.raises(PayloadTypeError, match=r"Order\['at'\]: expected a datetime"):
        convert({"at": 5}, Order)
