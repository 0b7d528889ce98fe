"""Histories in files: the JSON that `durabletask history export` writes, and the bytes of the protocol.

The JSON is one object:

    {
      "format": "durabletask-history", "version": 1,
      "instance_id": "…", "name": "…",              the orchestrator's name, null before it has started
      "exported_at": "2026-01-01T12:00:00+00:00",
      "sdk_version": "…",
      "events": [{"type": "taskScheduled", "event_id": 1, "timestamp": "…", …, "data": "base64"}, …]
    }

`data` is the event as the sidecar sent it, and all that is read back; what stands before it is for people and diffs.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Any

from durabletask import _core
from durabletask._states import decode_history

FORMAT = "durabletask-history"
VERSION = 1


class HistoryFormatError(ValueError):
    """What was given as a history is none: it is cut off, damaged, or something else.

    Attributes:
        problem: What is wrong.
        offset: The byte, counted from 0, at which it shows; None if there are no bytes.
        source: The file; None for what was given in memory.
    """

    def __init__(self, problem: str, offset: int | None = None, source: str | None = None) -> None:
        self.problem = problem
        self.offset = offset
        self.source = source
        at = "" if offset is None else f"byte {offset}: "
        super().__init__(
            f"{source or 'history'}: {at}{problem}; expected what `durabletask history export` writes, or the bytes "
            "of a GetInstanceHistoryResponse, an OrchestratorRequest or a WorkItem"
        )

    def within(self, source: str) -> HistoryFormatError:
        """The same, for a file."""
        return HistoryFormatError(self.problem, self.offset, source)


def export_history(
    instance_id: str, response: bytes, *, exported_at: datetime | None = None
) -> dict[str, Any]:
    """A history as JSON, to be kept in a file and given to `Replayer.check`.

    Args:
        instance_id: Of the instance.
        response: A serialized `GetInstanceHistoryResponse`.
        exported_at: When it was read; None: now.

    Returns:
        The object that this module describes. `history_bytes` makes the very same bytes of it.

    Raises:
        ValueError: `response` is no such message.
    """
    name = None
    events = []
    for event in decode_history(response):
        if name is None and event.event_type == "executionStarted":
            name = event.attributes.get("name")
        described: dict[str, Any] = {"type": event.event_type, "event_id": event.event_id}
        if event.timestamp is not None:
            described["timestamp"] = event.timestamp.isoformat() + "Z"
        for key in ("name", "taskScheduledId", "timerId", "orchestrationStatus"):
            if key in event.attributes:
                value = event.attributes[key]
                described[key] = value.name if isinstance(value, Enum) else value
        described["data"] = base64.b64encode(event.serialized).decode("ascii")
        events.append(described)
    exported_at = exported_at or datetime.now(timezone.utc)
    exported: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "instance_id": instance_id,
        "name": name,
        "exported_at": exported_at.isoformat(timespec="seconds"),
        "sdk_version": _core.__version__,
        "events": events,
    }
    if history_bytes(exported) != response:
        # A newer sidecar says more than events; it is kept as it came.
        exported["response"] = base64.b64encode(response).decode("ascii")
    return exported


def history_bytes(exported: Mapping[str, Any], text: str | None = None) -> bytes:
    """The `GetInstanceHistoryResponse` that was exported, byte for byte.

    Args:
        exported: The JSON object.
        text: The JSON it was read from, to say where something is wrong.

    Raises:
        HistoryFormatError: It is no exported history, or of a later version.
    """
    if exported.get("format") != FORMAT:
        raise HistoryFormatError(
            f'"format" is {exported.get("format")!r} instead of {FORMAT!r}', _start(text)
        )
    if exported.get("version") != VERSION:
        raise HistoryFormatError(
            f"version {exported.get('version')!r} of the format is not known here, only {VERSION}; a newer "
            "durabletask-rs can read it",
            _start(text),
        )
    if "response" in exported:
        return _decoded(exported["response"], '"response"', text)
    events = exported.get("events")
    if not isinstance(events, list):
        raise HistoryFormatError('there is no list of "events"', _start(text))
    parts: list[bytes] = []
    for index, event in enumerate(events):
        data = event.get("data") if isinstance(event, Mapping) else None
        encoded = _decoded(data, f"the data of event {index}", text)
        parts += (b"\n", _varint(len(encoded)), encoded)
    return b"".join(parts)


def _decoded(data: Any, what: str, text: str | None) -> bytes:
    if not isinstance(data, str):
        raise HistoryFormatError(f"{what} is no base64 text", _start(text))
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        at = -1 if text is None else text.find(json.dumps(data))
        offset = None if text is None or at < 0 else len(text[: at + 1].encode())
        raise HistoryFormatError(f"{what} is no base64: {error}", offset) from None


def _start(text: str | None) -> int | None:
    return None if text is None else 0


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def read(history: bytes | str | Mapping[str, Any] | os.PathLike[str]) -> tuple[bytes, str | None]:
    """The protocol's bytes of a history in any of the forms that `Replayer.check` takes, and its file.

    Raises:
        HistoryFormatError: It is text, but no JSON of ours.
        OSError: The file can not be read.
        TypeError: It is none of these forms.
    """
    if isinstance(history, os.PathLike):
        source = os.fspath(history)
        try:
            return _protocol_bytes(Path(source).read_bytes()), source
        except HistoryFormatError as error:
            raise error.within(source) from error.__cause__
    if isinstance(history, str):
        return _from_json(history), None
    if isinstance(history, (bytes, bytearray, memoryview)):
        return _protocol_bytes(bytes(history)), None
    if isinstance(history, Mapping):
        return history_bytes(history), None
    raise TypeError(
        f"a history is bytes, a JSON text, a dict or a path (os.PathLike), not {type(history).__name__}; "
        "check_all takes many"
    )


def _protocol_bytes(data: bytes) -> bytes:
    # No message of the protocol begins with `{`: that would be field 15, which none of them has.
    if not data.startswith((b"{", b"[", b"\xef\xbb\xbf")):
        return data
    try:
        return _from_json(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise HistoryFormatError("the JSON is not UTF-8", error.start) from None


def _from_json(text: str) -> bytes:
    try:
        exported = json.loads(text)
    except json.JSONDecodeError as error:
        offset = len(text[: error.pos].encode("utf-8", "surrogatepass"))
        hint = "" if text.lstrip().startswith("{") else " (a file is given as a pathlib.Path)"
        raise HistoryFormatError(f"no JSON: {error.msg}{hint}", offset) from None
    except RecursionError:
        raise HistoryFormatError("no JSON: nested too deeply", 0) from None
    if not isinstance(exported, Mapping):
        raise HistoryFormatError(f"the JSON is no object but a {type(exported).__name__}", 0)
    return history_bytes(exported, text)
