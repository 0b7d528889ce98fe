"""Payloads by way of the `json` module, for programs that hand it an encoder and a decoder."""

from __future__ import annotations

import json
from typing import Any

from durabletask._payloads.read import restored
from durabletask._payloads.write import lowered, written


class InternalJSONEncoder(json.JSONEncoder):
    """Writes what `to_json` does: `json.dumps(value, cls=InternalJSONEncoder)`."""

    def encode(self, o: Any) -> str:
        """Write a value."""
        return super().encode(lowered(o))

    def default(self, o: Any) -> Any:
        """What to write in the place of a value that JSON has no form for."""
        named = lowered(o)
        return written(o) if named is o else named


class InternalJSONDecoder(json.JSONDecoder):
    """Reads what `from_json` does: `json.loads(text, cls=InternalJSONDecoder)`."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, object_hook=restored, **options)
