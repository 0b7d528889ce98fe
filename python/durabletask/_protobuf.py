"""The protocol's messages as protobuf's own classes, made from the descriptor that this package is built with."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from durabletask import _core


@dataclass(frozen=True)
class Protocol:
    """Attributes: names: messages, enums and their numbers. service: the descriptor of the sidecar's service."""

    names: dict[str, Any]
    service: Any
    wrappers: Any
    timestamps: Any


@functools.cache
def protocol() -> Protocol:
    """The protocol's classes.

    Raises:
        ImportError: There is no protobuf, or one that is too old.
    """
    from google.protobuf import (
        descriptor_pb2,
        descriptor_pool,
        empty_pb2,
        message_factory,
        timestamp_pb2,
        wrappers_pb2,
    )
    from google.protobuf.internal import enum_type_wrapper

    if not hasattr(message_factory, "GetMessageClass"):
        raise ImportError("protobuf 4.22 or later is needed")
    serialized = bytes.fromhex(_core.PROTOCOL_DESCRIPTOR_HEX)
    imported = (empty_pb2, timestamp_pb2, wrappers_pb2)
    pool: Any = descriptor_pool.Default()
    try:
        pool.AddSerializedFile(serialized)
    except TypeError:
        # Another package has messages of these names there. Its are not ours, so that these stand apart.
        pool = descriptor_pool.DescriptorPool()
        for module in imported:
            pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        pool.AddSerializedFile(serialized)

    def message(name: str) -> Any:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))

    file = pool.FindFileByName(descriptor_pb2.FileDescriptorProto.FromString(serialized).name)
    names: dict[str, Any] = {"DESCRIPTOR": file}
    for name, enum in file.enum_types_by_name.items():
        names[name] = enum_type_wrapper.EnumTypeWrapper(enum)
        names.update((value.name, value.number) for value in enum.values)
    names.update((name, message(name)) for name in file.message_types_by_name)
    return Protocol(
        names,
        file.services_by_name["TaskHubSidecarService"],
        message("google.protobuf.StringValue"),
        message("google.protobuf.Timestamp"),
    )


@functools.cache
def classes_of(method: str) -> tuple[Any, Any]:
    """The classes of a method's request and response.

    Raises:
        ImportError: There is no protobuf.
    """
    found = protocol()
    described = found.service.methods_by_name[method]
    return found.names.get(described.input_type.name) or _empty(
        described.input_type
    ), found.names.get(described.output_type.name) or _empty(described.output_type)


def _empty(descriptor: Any) -> Any:
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(descriptor)
