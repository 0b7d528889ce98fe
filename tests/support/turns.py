"""Reads the turns of tests/recordings; its README describes the format."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

RECORDINGS = Path(__file__).parent.parent / "recordings"


class Turn(NamedTuple):
    """One turn as it went over the wire."""

    work_item: bytes
    response: bytes


def read_turns(path: Path) -> list[Turn]:
    """All turns of one file, in order of arrival."""
    data, position, parts = path.read_bytes(), 0, []
    while position < len(data):
        (length,) = struct.unpack_from("<I", data, position)
        parts.append(data[position + 4 : position + 4 + length])
        position += 4 + length
    return [Turn(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]


def recorded_scenarios() -> list[Path]:
    """The files, one a scenario and sidecar."""
    return sorted(RECORDINGS.glob("*.turns"))
