"""Payloads: Python values to JSON and back."""

from __future__ import annotations

import json
from collections import namedtuple
from dataclasses import dataclass, field
from enum import Enum
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from durabletask.internal.shared import AUTO_SERIALIZED, from_json, to_json


@dataclass
class Line:
    item: str
    count: int


@dataclass
class Order:
    id: int
    lines: list[Line] = field(default_factory=list)


class Point(NamedTuple):
    x: int
    y: Any


Pair = namedtuple("Pair", ["left", "right"])  # noqa: PYI024 - programs have them

PLAIN = [None, True, 0, -1.5, "", "Zürich ☂", [], {}, [1, [2, {"a": (3,)}]], {"k": [None]}, (1, 2)]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values_are_written_as_json_writes_them(value: Any) -> None:
    assert to_json(value) == json.dumps(value)


def test_a_dataclass_comes_back_as_a_namespace_at_any_depth() -> None:
    encoded = to_json({"orders": [Order(1, [Line("tea", 2)])]})
    assert encoded.count(AUTO_SERIALIZED) == 2
    decoded = from_json(encoded)
    assert decoded == {
        "orders": [SimpleNamespace(id=1, lines=[SimpleNamespace(item="tea", count=2)])]
    }


def test_the_marker_comes_last_and_fields_keep_their_order() -> None:
    assert to_json(Line("tea", 2)) == f'{{"item": "tea", "count": 2, "{AUTO_SERIALIZED}": true}}'


@pytest.mark.parametrize("value", [Point(1, 2), [Point(1, 2)], {"p": Point(1, Pair(3, 4))}])
def test_named_tuples_keep_their_names_at_any_depth(value: Any) -> None:
    text = repr(from_json(to_json(value)))
    assert "namespace(x=1" in text
    assert ("namespace(left=3" in text) == isinstance(value, dict)


def test_named_fields_are_found_in_what_has_a_form_of_its_own() -> None:
    class Corner(Enum):
        TOP = Point(1, Line("tea", 2))

    found = from_json(to_json([Corner.TOP, {Point(3, 4)}]))
    assert found[0] == SimpleNamespace(x=1, y=SimpleNamespace(item="tea", count=2))
    assert found[1] == [SimpleNamespace(x=3, y=4)]


def test_namespaces_are_read_back_and_not_changed() -> None:
    value = SimpleNamespace(a=1, b=SimpleNamespace(c=[2]))
    decoded = from_json(to_json(value))
    assert decoded == value
    assert vars(value) == {"a": 1, "b": SimpleNamespace(c=[2])}


def test_the_caller_s_containers_are_not_changed() -> None:
    line = Line("tea", 2)
    value = {"lines": [line]}
    to_json(value)
    assert value["lines"][0] is line


def test_subclasses_of_containers_are_looked_into() -> None:
    class Mine(dict[str, Any]):
        pass

    class Bag(list[Any]):
        pass

    assert from_json(to_json(Mine(p=Bag([Point(1, 2)])))) == {"p": [SimpleNamespace(x=1, y=2)]}


def test_an_object_with_a_false_marker_stays_a_dict() -> None:
    assert from_json(f'{{"a": 1, "{AUTO_SERIALIZED}": false}}') == {"a": 1}


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="Object of type object is not JSON serializable"):
        to_json([object()])
    with pytest.raises(TypeError, match="Object of type type is not JSON serializable"):
        to_json(Line)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append([value])
    with pytest.raises(ValueError, match="Circular reference detected"):
        to_json(value)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="line 1 column 2"):
        from_json("{")
    assert from_json(b'{"a": 1}') == {"a": 1}
