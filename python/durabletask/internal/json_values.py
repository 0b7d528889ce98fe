"""Python values to JSON text and back.

JSON knows no named fields besides those of objects, so dataclasses, named tuples and
`SimpleNamespace` are written as objects with a marker key, at any depth, and read back as
`SimpleNamespace`. All else is what the `json` module makes of it, with its default separators: the
text is part of histories, and compared there.
"""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

# The key that marks an object to be read back as a SimpleNamespace. Other SDKs of the family use
# the same.
AUTO_SERIALIZED = "__durabletask_autoobject__"

_SCALARS = frozenset({str, int, float, bool, type(None)})


def to_json(obj: Any) -> str:
    """Write a value as JSON.

    Raises:
        TypeError: Some part of it has no JSON form.
        ValueError: It contains itself, or is nested too deeply.

    """
    if type(obj) not in _SCALARS:
        try:
            obj = _lowered(obj)
        except RecursionError:
            raise ValueError(
                "Circular reference detected, or a value nested too deeply for JSON"
            ) from None
    return json.dumps(obj)


def from_json(json_str: str | bytes | bytearray) -> Any:
    """Read a value from JSON.

    Raises:
        json.JSONDecodeError: A ValueError that says where the text is no JSON.

    """
    # The hook costs a call for each object, so it is only used where there is something to find.
    marker: Any = AUTO_SERIALIZED if isinstance(json_str, str) else AUTO_SERIALIZED.encode()
    if marker in json_str:
        return json.loads(json_str, object_hook=_restored)
    return json.loads(json_str)


def _lowered(value: Any) -> Any:
    """The value without named fields: itself where it has none, else a copy."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict:
        # One pass at C speed decides whether there is anything to look into.
        if _SCALARS.issuperset(map(type, value.values())):
            return value
        return {key: _lowered(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        if _SCALARS.issuperset(map(type, value)):
            return value
        return [_lowered(item) for item in value]
    if isinstance(value, tuple):
        names = getattr(value, "_fields", None)
        if names is not None and hasattr(value, "_asdict"):
            return _marked(zip(names, value, strict=False))
        return [_lowered(item) for item in value]
    if isinstance(value, SimpleNamespace):
        return _marked(vars(value).items())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _marked(
            (field.name, getattr(value, field.name)) for field in dataclasses.fields(value)
        )
    if isinstance(value, dict):
        return {key: _lowered(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_lowered(item) for item in value]
    return value  # json.dumps writes it, or says that it cannot


def _marked(fields: Any) -> dict[str, Any]:
    lowered = {name: _lowered(item) for name, item in fields}
    lowered[AUTO_SERIALIZED] = True
    return lowered


def _restored(fields: dict[str, Any]) -> Any:
    if fields.pop(AUTO_SERIALIZED, False):
        return SimpleNamespace(**fields)
    return fields
