"""The protobuf wire format, as little of it as tests need to play the sidecar.

Messages are written as sequences of (field number, value): an int is a varint, text and bytes are
length-delimited, None is left out. They are read back as `{field number: [values]}`.
"""

from __future__ import annotations

Value = int | str | bytes | None


def message(*fields: tuple[int, Value]) -> bytes:
    """Encode a message."""
    encoded = bytearray()
    for number, value in fields:
        if value is None:
            continue
        if isinstance(value, int):
            encoded += _varint(number << 3) + _varint(value & (2**64 - 1))
        else:
            content = value.encode() if isinstance(value, str) else value
            encoded += _varint(number << 3 | 2) + _varint(len(content)) + content
    return bytes(encoded)


def text(value: str | None) -> bytes | None:
    """Encode a `google.protobuf.StringValue`."""
    return None if value is None else message((1, value or None))


def fields(encoded: bytes) -> dict[int, list[int | bytes]]:
    """Decode the fields of a message."""
    found: dict[int, list[int | bytes]] = {}
    position = 0
    while position < len(encoded):
        key, position = _read_varint(encoded, position)
        value: int | bytes
        if key & 7 == 0:
            value, position = _read_varint(encoded, position)
        else:
            assert key & 7 == 2, f"wire type {key & 7} does not occur in this protocol"
            length, position = _read_varint(encoded, position)
            value, position = encoded[position : position + length], position + length
        found.setdefault(key >> 3, []).append(value)
    return found


def get(encoded: bytes, *path: int) -> bytes | None:
    """Return the first length-delimited field at a path of field numbers; None if it is absent."""
    for number in path:
        values = fields(encoded).get(number)
        if not values:
            return None
        value = values[0]
        assert isinstance(value, bytes), f"field {number} of {path} is a number"
        encoded = value
    return encoded


def number(encoded: bytes, *path: int) -> int:
    """Return the number at a path of field numbers; 0 if it is absent."""
    inner = get(encoded, *path[:-1])
    values = fields(inner).get(path[-1]) if inner is not None else None
    value = values[0] if values else 0
    assert isinstance(value, int), f"field {path} is no number"
    return value - 2**64 if value >= 2**63 else value


def string(encoded: bytes, *path: int) -> str | None:
    """Return the text at a path of field numbers; None if it is absent."""
    found = get(encoded, *path)
    return None if found is None else found.decode()


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint(encoded: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = encoded[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise AssertionError("a varint of more than ten bytes")
