"""Calls for other apps: Dapr knows them since 1.19, and before it means its own app, whatever it is told."""

from __future__ import annotations

import re
from typing import NamedTuple

METADATA = "/dapr.proto.runtime.v1.Dapr/GetMetadata"
"""Says which release a Dapr sidecar is; no other sidecar has it."""

TIMEOUT = 10.0
"""Seconds that the sidecar has for that."""

_ID, _RUNTIME_VERSION = 1, 8
_FIRST = (1, 19)


class Runtime(NamedTuple):
    """A Dapr sidecar: its app, and its release; empty where it does not say."""

    app_id: str = ""
    version: str = ""

    def check(self, app_id: str) -> None:
        """Refuse what it would take for something else.

        Raises:
            NotImplementedError: The app is another one, and the release knows of none.
        """
        release = re.match(r"v?(\d+)\.(\d+)", self.version)
        if release is None or tuple(map(int, release.groups())) >= _FIRST or app_id == self.app_id:
            return
        raise NotImplementedError(
            f"app_id={app_id!r} needs a sidecar of Dapr 1.19 or later. This one is {self.version}: it would pass over "
            f"that and mean its own app, {self.app_id!r}. Upgrade the sidecar, or connect a client to that app's own."
        )


def runtime_of(metadata: bytes) -> Runtime:
    """What a serialized `GetMetadataResponse` says of the sidecar; nothing, where it can not be read."""
    texts = {}
    try:
        for number, value in _fields(metadata):
            texts[number] = value.decode()
    except (IndexError, UnicodeDecodeError, ValueError):
        return Runtime()
    return Runtime(texts.get(_ID, ""), texts.get(_RUNTIME_VERSION, ""))


def _fields(message: bytes) -> list[tuple[int, bytes]]:
    """The two fields that matter here."""
    found, at = [], 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            _, at = _varint(message, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            size, at = _varint(message, at)
            if tag >> 3 in (_ID, _RUNTIME_VERSION):
                found.append((tag >> 3, message[at : at + size]))
            at += size
        else:
            raise ValueError(f"there is no wire type {kind}")
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
