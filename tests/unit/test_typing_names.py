"""Annotations with what `typing` names, bare or not, in typed payloads."""

# ruff: noqa: UP006 - these names are what is tested
from __future__ import annotations

import collections.abc
import sys
import typing
from contextlib import suppress
from enum import Enum, Flag, IntEnum
from types import SimpleNamespace
from typing import Any

import pytest

from durabletask.payloads import PayloadTypeError, convert


def names_of_types() -> list[Any]:
    found = [getattr(typing, name) for name in typing.__all__]
    found += [getattr(collections.abc, name) for name in collections.abc.__all__]
    found += [
        collections.deque,
        collections.Counter,
        collections.OrderedDict,
        type,
        Enum,
        IntEnum,
        Flag,
    ]
    return found


def test_all_that_typing_names_can_stand_bare_or_with_one_type() -> None:
    hints = names_of_types()
    for hint in names_of_types():
        with suppress(TypeError, LookupError):  # it takes none, or more than one
            hints.append(hint[int])
    for hint in hints:
        for value in ("text", 1, [1], {"a": 1}, SimpleNamespace(a=1)):
            with suppress(PayloadTypeError):
                assert convert(value, hint) is not None, hint


@pytest.mark.parametrize(
    ("hint", "value", "read"),
    [
        (typing.Set, [1, 1], {1}),
        (typing.FrozenSet, [1], frozenset({1})),
        (typing.AbstractSet, [1], {1}),
        (typing.MutableSet, [1], {1}),
        (collections.abc.Set, [1], {1}),
        (typing.Tuple, [1, "a"], (1, "a")),
        (tuple[()], [], ()),
        (typing.List, [1], [1]),
        (typing.Dict, {"a": 1}, {"a": 1}),
        (typing.Deque, [1], [1]),
        (typing.Type, "int", "int"),
        (Enum, "red", "red"),
        (IntEnum, 1, 1),
    ],
    ids=str,
)
def test_bare_names_are_read_as_the_classes_they_stand_for(
    hint: Any, value: Any, read: Any
) -> None:
    assert convert(value, hint) == read
    assert type(convert(value, hint)) is type(read)


def test_the_empty_tuple_holds_nothing() -> None:
    with pytest.raises(PayloadTypeError, match="expected 0 items"):
        convert([1], tuple[()])


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no generic named tuples")
def test_generic_named_tuples_are_named_tuples() -> None:
    names: dict[str, Any] = {}
    exec(
        "from typing import *\n"
        "T = TypeVar('T')\n"
        "class Pair(NamedTuple, Generic[T]):\n"
        "    one: T\n"
        "    other: T\n",
        names,
    )
    pair = names["Pair"]
    assert convert({"one": 1, "other": 2}, pair[int]) == pair(1, 2)
