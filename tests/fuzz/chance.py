"""Messages at random: of every field of the contract, from pools small enough that calls meet each other."""

from __future__ import annotations

import random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from support import messages

_DEEPEST = 7
_SENT_WITH = 0.45
"""The share of the fields that a message has."""
_DEEPER = 0.75
"""What that share is multiplied by in each message inside."""
_ODD_SECONDS = (-62_135_596_800, 253_402_300_799, 2**40, -(2**60))


class Chance:
    """Makes messages; the same seed makes the same ones."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self._odd = ["", "i\n1", "\x1b[31m", "ü", "i" * 300]
        self._usual = [f"i{number}" for number in range(8)]
        self.names = ["one", "two", "", "three"]

    def message(self, name: str) -> Any:
        """A message of the contract."""
        made = messages.message_class(name)()
        self._fill(made, 0)
        return made

    def instance(self) -> str:
        """An instance's id; most are used again and again."""
        return self.random.choice(self._odd if self.random.random() < 0.1 else self._usual)

    def bytes_like(self, encoded: bytes) -> bytes:
        """Bytes of a message with some of them changed, left out or repeated."""
        data = bytearray(encoded)
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randrange(len(data) + 1)
            what = self.random.randrange(4)
            if what == 0 and at < len(data):
                data[at] = self.random.randrange(256)
            elif what == 1:
                del data[at : at + self.random.randint(1, 8)]
            elif what == 2:
                data[at:at] = self.random.randbytes(self.random.randint(1, 8))
            else:
                data += data[at : at + 16]
        return bytes(data)

    def _fill(self, made: Any, depth: int) -> None:
        descriptor: Descriptor = made.DESCRIPTOR
        share = _SENT_WITH * _DEEPER**depth
        for field in descriptor.fields:
            if self.random.random() > share and field.name not in ("instanceId", "actions"):
                continue
            if _is_map(field):
                for _ in range(self.random.randrange(3)):
                    getattr(made, field.name)[self._text(field.name)] = self._text("value")
            elif field.message_type is not None:
                self._fill_message(made, field, depth)
            elif field.is_repeated:
                getattr(made, field.name).extend(
                    self._scalar(field) for _ in range(self.random.randrange(3))
                )
            else:
                setattr(made, field.name, self._scalar(field))

    def _fill_message(self, made: Any, field: FieldDescriptor, depth: int) -> None:
        if depth >= _DEEPEST:
            return
        if field.is_repeated:
            for _ in range(self.random.choice((0, 1, 1, 2, 5))):
                self._fill(getattr(made, field.name).add(), depth + 1)
            return
        inner = getattr(made, field.name)
        inner.SetInParent()
        kind = inner.DESCRIPTOR.full_name
        if kind == "google.protobuf.StringValue":
            inner.value = self._text(field.name)
        elif kind == "google.protobuf.Timestamp":
            odd = self.random.random() < 0.1
            inner.seconds = self.random.choice(_ODD_SECONDS if odd else (0, 1, 1_800_000_000))
            inner.nanos = self.random.choice((0, 999_999_999, -1)) if odd else 0
        else:
            self._fill(inner, depth + 1)

    def _scalar(self, field: FieldDescriptor) -> Any:
        kind = field.type
        if kind == FieldDescriptor.TYPE_STRING:
            return self._text(field.name)
        if kind == FieldDescriptor.TYPE_BYTES:
            return self.random.randbytes(self.random.randrange(40))
        if kind == FieldDescriptor.TYPE_BOOL:
            return self.random.random() < 0.5
        if kind == FieldDescriptor.TYPE_ENUM:
            return self.random.choice((0, 1, 2, 3, 5, 7, 99))
        number = self.random.choice((0, 1, 2, 3, 4, 5, 17, 2**31 - 1))
        return (
            number
            if kind == FieldDescriptor.TYPE_UINT32
            else self.random.choice((number, -number, -1))
        )

    def _text(self, name: str) -> str:
        lowered = name.lower()
        if "instanceid" in lowered:
            return self.instance()
        if "name" in lowered:
            return self.random.choice(self.names)
        if self.random.random() < 0.01:
            return "x" * 100_000
        return self.random.choice(
            ("", "1", '"text"', "null", "{", "\ud7ff", "0001", self.instance())
        )


def _is_map(field: FieldDescriptor) -> bool:
    inner = field.message_type
    return inner is not None and bool(inner.GetOptions().map_entry)
