"""The protocol's messages for tests, built from tests/contract/contract.json with protobuf's own runtime.

The package under test has no Python protobuf; so what the tests read and write is decoded by other code than what the
tests are about.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    empty_pb2,
    message_factory,
    timestamp_pb2,
    wrappers_pb2,
)

CONTRACT = Path(__file__).parent.parent / "contract" / "contract.json"
_FILE = "contract.proto"
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
}


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    contract = json.loads(CONTRACT.read_text())
    pool = descriptor_pool.DescriptorPool()
    imports = [module.DESCRIPTOR for module in (empty_pb2, timestamp_pb2, wrappers_pb2)]
    for imported in imports:
        pool.AddSerializedFile(imported.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name=_FILE, syntax="proto3", dependency=[imported.name for imported in imports]
    )
    for name, values in contract["enums"].items():
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    for name, declared in contract["messages"].items():
        _add_message(file.message_type.add(name=name), declared["fields"], set(contract["enums"]))
    pool.Add(file)
    return pool


def _add_message(message: Any, fields: list[dict[str, Any]], enums: set[str]) -> None:
    oneofs: dict[str, int] = {}
    names: set[str] = set()
    for declared in fields:
        oneof = declared.get("oneof")
        if oneof and oneof not in oneofs:
            oneofs[oneof] = len(oneofs)
            message.oneof_decl.add(name=oneof)
    for declared in fields:
        name, type_name = declared["name"], declared["type"]
        if name in names:
            name = f"retired_{name}"
        names.add(name)
        field = message.field.add(
            name=name, json_name=name, number=declared["number"], label=_Field.LABEL_OPTIONAL
        )
        if declared["label"] == "repeated":
            field.label = _Field.LABEL_REPEATED
        if declared.get("opaque"):
            type_name = "bytes"
        if type_name.startswith("map<"):
            field.label, field.type = _Field.LABEL_REPEATED, _Field.TYPE_MESSAGE
            entry = message.nested_type.add(name=f"{name[0].upper()}{name[1:]}Entry")
            entry.options.map_entry = True
            for number, part in enumerate(("key", "value"), start=1):
                entry.field.add(
                    name=part, number=number, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING
                )
            field.type_name = f".{message.name}.{entry.name}"
        elif type_name in _SCALARS:
            field.type = _SCALARS[type_name]
        else:
            field.type = _Field.TYPE_ENUM if type_name in enums else _Field.TYPE_MESSAGE
            field.type_name = f".{type_name}"
        if declared.get("oneof"):
            field.oneof_index = oneofs[declared["oneof"]]
    for declared, field in zip(fields, message.field, strict=True):
        if declared["label"] == "optional":
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")


@cache
def message_class(name: str) -> Any:
    """The class of the contract's message `name`."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(name))


def __getattr__(name: str) -> Any:
    """`messages.HistoryEvent(...)` and the like."""
    try:
        return message_class(name)
    except KeyError:
        raise AttributeError(f"the contract has no message {name}") from None


def status_name(number: int) -> str:
    """`3` -> `"FAILED"`."""
    values = _pool().FindEnumTypeByName("OrchestrationStatus").values_by_number
    return str(values[number].name).removeprefix("ORCHESTRATION_STATUS_")
