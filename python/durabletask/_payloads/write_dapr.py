"""Python values to JSON text as Dapr's SDK writes them, which keeps fewer names than `write` does.

Named tuples have the names of their fields where they are the whole payload; inside another value they are lists.
Dataclasses are marked to be read back as objects where they are not inside another dataclass; there they are plain
objects. Programs unpack the ones and index the others. What Dapr's SDK refuses is written as `write` does.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from durabletask._payloads.write import AUTO_SERIALIZED, written


def writer(model_form: Callable[[Any], Any]) -> Callable[[Any], str]:
    """What writes payloads; `model_form` returns what is to be written in a model's place, or NotImplemented."""

    def default(value: Any) -> Any:
        form = model_form(value)
        if form is not NotImplemented:
            return form
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {**dataclasses.asdict(value), AUTO_SERIALIZED: True}
        if isinstance(value, SimpleNamespace):
            return {**vars(value), AUTO_SERIALIZED: True}
        return written(value)

    encode = json.JSONEncoder(default=default).encode

    def to_json(value: Any) -> str:
        if isinstance(value, tuple) and hasattr(value, "_fields") and hasattr(value, "_asdict"):
            value = {**value._asdict(), AUTO_SERIALIZED: True}
        return encode(value)

    return to_json
