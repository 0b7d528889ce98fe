"""What becomes of payloads where typed ones were not asked for.

Programs were written when annotations changed nothing, and read `order["id"]` although the parameter
says `order: Order`. So hardly anything is converted: only what was written as an object with named
fields, and would be a `SimpleNamespace`, becomes the dataclass or named tuple that the parameter is
annotated with, whose attributes are the same; and an object becomes the pydantic model that it is
annotated with.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from types import SimpleNamespace
from typing import Any

from durabletask._payloads.read import Reader, reader_of
from durabletask._payloads.write import is_pydantic_model


def undeclared_reader_of(hint: Any) -> Reader | None:
    """How to read a parameter with this annotation; None: as JSON has it."""
    kind = _class_of(hint)
    if kind is None:
        return None
    if is_pydantic_model(kind):
        model = reader_of(kind)
        # A root model may be anything; other values than objects are left to the program to read.
        if model is None or getattr(kind, "__pydantic_root_model__", False):
            return model
        return lambda value: model(value) if isinstance(value, (dict, SimpleNamespace)) else value
    if issubclass(kind, tuple):
        names = getattr(kind, "_fields", None)
        return None if names is None else functools.partial(_named_tuple, kind, names)
    if dataclasses.is_dataclass(kind):
        names = tuple(field.name for field in dataclasses.fields(kind))
        return functools.partial(_dataclass, kind, names)
    return None


def _class_of(hint: Any) -> type | None:
    """The class of an annotation, if it is one, be it optional or generic; None: it is none."""
    while hasattr(hint, "__metadata__"):  # Annotated
        hint = typing.get_args(hint)[0]
    origin = typing.get_origin(hint)
    if origin is typing.Union or origin is types.UnionType:
        members = [each for each in typing.get_args(hint) if each is not type(None)]
        return _class_of(members[0]) if len(members) == 1 else None
    found = hint if origin is None else origin
    return found if isinstance(found, type) else None


# No code of the program runs, and no field is added or lost: each has the value that was written.


def _dataclass(kind: Any, names: tuple[str, ...], value: Any) -> Any:
    if type(value) is not SimpleNamespace or vars(value).keys() != set(names):
        return value
    try:
        made = object.__new__(kind)
        for name in names:
            object.__setattr__(made, name, vars(value)[name])
    except (AttributeError, TypeError):  # it is built in some way of its own
        return value
    return made


def _named_tuple(kind: Any, names: tuple[str, ...], value: Any) -> Any:
    if type(value) is not SimpleNamespace or vars(value).keys() != set(names):
        return value
    return tuple.__new__(kind, [vars(value)[name] for name in names])
