"""JSON values to models of pydantic, which is never imported: it is there if there is a model."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

from durabletask._payloads.write import to_json


def model(kind: Any, value: Any) -> Any:
    """The value as a model; raises the model's own error if it does not fit."""
    if isinstance(value, kind):
        return value
    # As JSON, so that strict models take what JSON has no other form for.
    text = to_json(_plain(value))
    try:
        return kind.model_validate_json(text)
    except ValueError as error:
        raise _without_values(error) from None


def _without_values(error: Any) -> Any:
    """A model's own error, without the values that pydantic quotes in its text."""
    try:
        build = type(error).from_exception_data
        own = sys.modules["pydantic_core"].PydanticCustomError
        lines = []
        for line in error.errors(include_url=False):
            text = line.pop("msg")
            try:
                build("", [line])
            except KeyError:  # of a kind that is the model's own
                line["type"] = own(line["type"], "{text}", {"text": text})
            lines.append(line)
        return build(error.title, lines, hide_input=True)
    except Exception:  # a class of another make
        return error


def _plain(value: Any) -> Any:
    """The value with dicts in the place of namespaces, whose marker a model might refuse."""
    if isinstance(value, SimpleNamespace):
        value = vars(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
