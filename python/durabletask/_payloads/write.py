"""Python values to JSON text.

JSON knows no named fields besides those of objects, so dataclasses, named tuples and `SimpleNamespace`
are written as objects with a marker key, at any depth, and read back as `SimpleNamespace`. Values that
JSON has no form for are written as `written` says: dates and times in ISO 8601, UUID and Decimal as text,
bytes as base64, an Enum as its value, a set as a sorted list, a pydantic model as the object that it
dumps. All else is what the `json` module makes of it, with its default separators: the text is part of
histories, and compared there.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
from collections.abc import Callable
from datetime import date, time
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace
from typing import Any
from uuid import UUID

# The key that marks an object to be read back as a SimpleNamespace. Other SDKs of the family use
# the same.
AUTO_SERIALIZED = "__durabletask_autoobject__"

_SCALARS = frozenset({str, int, float, bool, type(None)})

# What writes in the place of what is here, where another SDK has rules of its own (`durabletask.dapr`).
instead: Callable[[Any], str] | None = None


class Prepared:
    """A value that is to be written by a converter of the program's own, when it has to be."""

    __slots__ = ("_value", "_write")

    def __init__(self, value: Any, write: Callable[[Any], str]):
        self._value = value
        self._write = write

    def to_json(self) -> str:
        """What the converter writes."""
        text = self._write(self._value)
        if not isinstance(text, str):
            raise TypeError(
                f"PayloadConverter.to_json must return a str, found {type(text).__name__} "
                f"for a value of type {type(self._value).__name__}"
            )
        return text


def to_json(obj: Any) -> str:
    """Write a value as JSON.

    Raises:
        TypeError: Some part of it has no JSON form.
        ValueError: It contains itself, or is nested too deeply.

    """
    if type(obj) is Prepared:
        return obj.to_json()
    try:
        return _encode(lowered(obj)) if instead is None else instead(obj)
    except RecursionError:
        raise ValueError(
            "Circular reference detected, or a value nested too deeply for JSON"
        ) from None


def lowered(value: Any) -> Any:
    """The value without named fields: itself where it has none, else a copy."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict:
        # One pass at C speed decides whether there is anything to look into.
        if _SCALARS.issuperset(map(type, value.values())):
            return value
        return {key: lowered(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        if _SCALARS.issuperset(map(type, value)):
            return value
        return [lowered(item) for item in value]
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        if names is not None and hasattr(value, "_asdict"):
            return _marked(zip(names, value, strict=False))
        return [lowered(item) for item in value]
    if isinstance(value, dict):
        return {key: lowered(item) for key, item in value.items()}
    if isinstance(value, list):
        return [lowered(item) for item in value]
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, SimpleNamespace):
        return _marked(vars(value).items())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _marked(
            (field.name, getattr(value, field.name)) for field in dataclasses.fields(value)
        )
    return value  # the encoder asks `written`


def written(value: Any) -> Any:
    """What is written in the place of a value that JSON has no form for, and that has no named fields."""
    if isinstance(value, (date, time)):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, (UUID, Decimal)):
        return str(value)
    if isinstance(value, Enum):
        return lowered(value.value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (set, frozenset)):
        # Sorted, because the order of a set is another one in every process.
        return sorted((lowered(item) for item in value), key=_encode)
    if is_pydantic_model(type(value)):
        return value.model_dump(mode="json", by_alias=True)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


# Writes what `json.dumps` does.
_encode = json.JSONEncoder(default=written).encode


def is_pydantic_model(kind: Any) -> bool:
    """Whether a class is a model of pydantic 2, which is not imported to find out."""
    pydantic = sys.modules.get("pydantic")
    if pydantic is None or not isinstance(kind, type):
        return False
    base = getattr(pydantic, "BaseModel", None)
    return (
        isinstance(base, type) and issubclass(kind, base) and hasattr(kind, "model_validate_json")
    )


def _marked(fields: Any) -> dict[str, Any]:
    named = {name: lowered(item) for name, item in fields}
    named[AUTO_SERIALIZED] = True
    return named
