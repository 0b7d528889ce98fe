"""Values of declared types to JSON and back: `durabletask.payloads`."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from types import SimpleNamespace
from typing import Annotated, Any, NamedTuple, NewType
from uuid import UUID

import pydantic
import pydantic_core
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from durabletask.internal.shared import AUTO_SERIALIZED, from_json, to_json
from durabletask.payloads import JsonConverter, PayloadTypeError, convert


class Color(Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(IntEnum):
    LOW = 1


class Word(str, Enum):
    YES = "yes"


class Point(NamedTuple):
    x: Decimal
    when: datetime | None = None


@dataclass(frozen=True)
class Line:
    id: UUID
    count: int = 1


@dataclass
class Order:
    lines: list[Line]
    color: Color
    at: Point | None = None
    tags: set[str] = field(default_factory=set)
    parent: Order | None = None
    raw: bytes = b""
    prices: dict[str, Decimal] = field(default_factory=dict)
    total: int = field(init=False, default=0)


class Model(pydantic.BaseModel):
    id: UUID
    due: datetime
    lines: list[Line] = []


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid")
    id: UUID = pydantic.Field(alias="identity")


OrderId = NewType("OrderId", UUID)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
offsets = st.one_of(
    st.none(), st.builds(timezone, st.timedeltas(-timedelta(hours=23), timedelta(hours=23)))
)
datetimes = st.datetimes(timezones=offsets)
decimals = st.decimals(allow_nan=False)
points = st.builds(Point, decimals, st.none() | datetimes)
lines = st.builds(Line, st.uuids(), st.integers())
colors = st.sampled_from(Color)
orders: st.SearchStrategy[Order] = st.deferred(
    lambda: st.builds(
        Order,
        st.lists(lines, max_size=2),
        colors,
        st.none() | points,
        st.sets(texts, max_size=3),
        st.none() | orders,
        st.binary(max_size=5),
        st.dictionaries(texts, decimals, max_size=2),
    )
)

TYPED: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (datetime, datetimes),
    (date, st.dates()),
    (time, st.times()),
    (UUID, st.uuids()),
    (Decimal, decimals),
    (bytes, st.binary()),
    (bytearray, st.binary().map(bytearray)),
    (Color, colors),
    (Level, st.sampled_from(Level)),
    (Word, st.sampled_from(Word)),
    (set[int], st.sets(st.integers())),
    (frozenset[UUID], st.frozensets(st.uuids(), max_size=3)),
    (tuple[int, UUID], st.tuples(st.integers(), st.uuids())),
    (tuple[UUID, ...], st.lists(st.uuids(), max_size=3).map(tuple)),
    (list[datetime], st.lists(datetimes, max_size=3)),
    (dict[str, UUID], st.dictionaries(texts, st.uuids(), max_size=3)),
    (UUID | None, st.none() | st.uuids()),
    (Line | datetime | None, st.none() | lines | datetimes),
    (Annotated[Decimal, "money"], decimals),
    (OrderId, st.uuids()),
    (Point, points),
    (Line, lines),
    (Order, orders),
    (list[Order | None], st.lists(st.none() | orders, max_size=2)),
    (Model, st.builds(Model, id=st.uuids(), due=st.datetimes(), lines=st.lists(lines, max_size=2))),
    (Strict, st.builds(Strict, identity=st.uuids())),
]


@pytest.mark.parametrize(("hint", "values"), TYPED, ids=[str(hint) for hint, _ in TYPED])
def test_a_value_comes_back_as_what_it_was(hint: Any, values: st.SearchStrategy[Any]) -> None:
    converter = JsonConverter()

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(values)
    def comes_back(value: Any) -> None:
        read = converter.from_json(converter.to_json(value), hint)
        assert read == value
        assert type(read) is type(value)

    comes_back()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
)


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_json_is_written_as_before_and_left_alone(value: Any) -> None:
    text = to_json(value)
    assert text == json.dumps(value)
    for hint in (Any, None, object, int, dict[str, Any], list, "what?", SimpleNamespace):
        assert convert(from_json(text), hint) == json.loads(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2024, 2, 3, 4, 5), '"2024-02-03T04:05:00"'),
        (datetime(2024, 2, 3, tzinfo=timezone.utc), '"2024-02-03T00:00:00+00:00"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("1.10"), '"1.10"'),
        (b"\x00\xff", '"AP8="'),
        (Color.PAIR, "[1, 2]"),
        (Level.LOW, "1"),
        (Word.YES, '"yes"'),
        ({"b", "a", "c"}, '["a", "b", "c"]'),
        ({"k": [UUID(int=0)]}, '{"k": ["00000000-0000-0000-0000-000000000000"]}'),
        (
            Line(UUID(int=0), 2),
            f'{{"id": "00000000-0000-0000-0000-000000000000", "count": 2, "{AUTO_SERIALIZED}": true}}',
        ),
        (Strict(identity=UUID(int=0)), '{"identity": "00000000-0000-0000-0000-000000000000"}'),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_each_type_has_its_form(value: Any, text: str) -> None:
    assert to_json(value) == text


ID = "00000000-0000-0000-0000-000000000007"


@pytest.mark.parametrize(
    "text",
    [
        f'{{"id": "{ID}", "count": 1, "{AUTO_SERIALIZED}": true}}',
        f'{{"id": "{ID}", "{AUTO_SERIALIZED}": true, "dropped since": 1}}',
        f'{{"id": "{ID}"}}',
    ],
)
def test_marked_objects_older_fields_and_plain_objects_are_read(text: str) -> None:
    assert convert(from_json(text), Line) == Line(UUID(int=7))


def test_other_spellings_are_read() -> None:
    assert convert("2024-02-03T04:05:06Z", datetime).tzinfo == timezone.utc
    assert convert(1.5, Decimal) == Decimal("1.5")
    assert convert([1], Point) == Point(1)  # type: ignore[arg-type]  # a tuple that lost its names
    assert convert({"id": ID, "due": "2024-01-01T00:00:00"}, Model).id == UUID(int=7)
    assert convert("2024", str | datetime) == "2024"
    assert convert({"a": 1}, Line | dict[str, int]) == {"a": 1}


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        ("soon", datetime, "expected a datetime in ISO 8601, found str$"),
        ([ID, 7], list[UUID], r"\[1\]: expected a UUID, found int$"),
        (True, Decimal, "expected a decimal number, found bool"),
        ("blue", Color, "expected a value of Color, found str$"),
        ({"count": 1}, Line, "the field 'id' of Line is missing$"),
        ({"lines": [{"id": 1}], "color": "red"}, Order, r"Order.lines: \[0\]: Line.id: expected"),
        ("x", Line, "expected an object with the fields of Line, found str$"),
        ({}, Point, r"the fields \['x'\] of Point are missing"),
        ([1], tuple[int, int], "expected 2 items, found list of 1$"),
        ("x" * 200, set[int], "expected a list, found str$"),
        ([[1]], set[Any], "unhashable type"),
        ("x", UUID | datetime, "expected a UUID.*; or expected a datetime"),
        ("%", bytes, "expected base64"),
        ({"4111": "x"}, dict[str, UUID], "value 1: expected a UUID, found str$"),
        ({"4111": 1}, dict[UUID, int], "key 1: expected a UUID, found str$"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named_with_its_place(value: Any, hint: Any, message: str) -> None:
    with pytest.raises(PayloadTypeError, match=message):
        convert(value, hint)


def test_a_model_s_validation_error_is_its_own() -> None:
    with pytest.raises(pydantic.ValidationError, match="due"):
        convert({"id": ID}, Model)


class Checked(pydantic.BaseModel):
    number: int
    code: str
    card: str

    @pydantic.field_validator("code")
    @classmethod
    def _refuse(cls, code: str) -> str:
        raise ValueError("no such code")

    @pydantic.field_validator("card")
    @classmethod
    def _refuse_card(cls, card: str) -> str:
        raise pydantic_core.PydanticCustomError("card", "no such {thing}", {"thing": "card"})


SECRET = "4556-7375"


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ({"number": SECRET, "code": SECRET, "card": SECRET}, Checked),
        ({"number": SECRET, "code": SECRET, "card": SECRET}, Checked | UUID),
        ({SECRET: SECRET}, dict[str, UUID]),
        ({SECRET: SECRET}, Line),
        ({SECRET: SECRET}, Point),
        ([SECRET], list[Color]),
        ({"id": SECRET}, Line),
        (SECRET, UUID | datetime),
    ],
    ids=str,
)
def test_errors_tell_nothing_of_payloads(value: Any, hint: Any) -> None:
    with pytest.raises((PayloadTypeError, pydantic.ValidationError)) as raised:
        convert(value, hint)
    assert SECRET not in "".join(traceback.format_exception(raised.value))
    if hint is Checked:
        assert isinstance(raised.value, pydantic.ValidationError)
        kinds = [(error["loc"], error["type"], error["msg"]) for error in raised.value.errors()]
        assert kinds == [
            (("number",), "int_parsing", kinds[0][2]),
            (("code",), "value_error", "Value error, no such code"),
            (("card",), "card", "no such card"),
        ]


@pytest.mark.parametrize(
    "value", [object(), 1j, [len], {"t": int}], ids=["object", "complex", "function", "class"]
)
def test_what_has_no_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="is not JSON serializable"):
        to_json(value)


def test_sets_are_written_alike_in_every_process() -> None:
    program = "from durabletask.internal.shared import to_json; print(to_json(set('abcdefgh')))"

    def printed(seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert printed("1") == printed("2")


def test_pydantic_is_not_imported() -> None:
    program = (
        "import sys, durabletask.worker, durabletask.payloads as p, dataclasses\n"
        "@dataclasses.dataclass\n"
        "class A: a: int\n"
        "p.convert({'a': 1}, A); p.JsonConverter().to_json({1})\n"
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": ":".join(sys.path)}, check=True
    )
