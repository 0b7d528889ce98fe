"""Python values to JSON text.

Whatever 0.17 could write is written as it did, to the letter: the text is part of histories, is compared
there, and decides what other workers receive. So a dataclass or `SimpleNamespace`, at any depth, is an
object with a marker key; a named tuple is one where it is the whole payload, and a list elsewhere; what
stands inside of a dataclass is not marked, as `dataclasses.asdict` has it.

What it could not write has a form here: dates and times in ISO 8601, UUID and Decimal as text, bytes as
base64, an Enum as its value, a set as a sorted list, a pydantic model as the object that it dumps.
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

# Asked first for the form of objects, where another SDK has rules of its own for them (`durabletask.dapr`): it returns
# what is to be written in an object's place, or NotImplemented.
object_form: Callable[[Any], Any] | None = None


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
        return _encode(marked(obj))
    except RecursionError:
        raise ValueError(
            "Circular reference detected, or a value nested too deeply for JSON"
        ) from None


def marked(value: Any) -> Any:
    """A whole payload with its names, if it is a named tuple, which would be written as a list."""
    if isinstance(value, tuple) and hasattr(value, "_fields") and hasattr(value, "_asdict"):
        return {**value._asdict(), AUTO_SERIALIZED: True}
    return value


def written(value: Any) -> Any:
    """What is written in the place of a value that JSON has no form for."""
    if object_form is not None:
        form = object_form(value)
        if form is not NotImplemented:
            return form
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {**_fields(value), AUTO_SERIALIZED: True}
    if isinstance(value, SimpleNamespace):
        return {**vars(value), AUTO_SERIALIZED: True}
    if isinstance(value, (date, time)):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, (UUID, Decimal)):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (set, frozenset)):
        # Sorted, because the order of a set is another one in every process.
        return sorted(value, key=_encode)
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


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass, those of dataclasses in it as plain objects."""
    return {
        field.name: _unmarked(getattr(value, field.name)) for field in dataclasses.fields(value)
    }


def _unmarked(value: Any) -> Any:
    """What stands in a dataclass, with plain objects in the place of further dataclasses."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, (list, tuple)):
        return [_unmarked(item) for item in value]
    if isinstance(value, dict):
        return {key: _unmarked(item) for key, item in value.items()}
    return value
