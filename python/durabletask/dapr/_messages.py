"""Where Dapr's SDK has protobuf messages and this package has bytes: from one to the other."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from durabletask import _transport
from durabletask._propagation import PropagatedHistory

_UINT32_MAX = 2**32 - 1


@functools.cache
def protos() -> Any:
    """The messages of Dapr's SDK."""
    return importlib.import_module("dapr.ext.workflow._durabletask.internal.protos")


@functools.cache
def by_path() -> dict[str, tuple[Any, Any]]:
    """The classes of request and response, by the gRPC path of a method."""
    service = importlib.import_module(
        "dapr.ext.workflow._durabletask.internal.orchestrator_service_pb2"
    ).DESCRIPTOR.services_by_name["TaskHubSidecarService"]
    factory = importlib.import_module("google.protobuf.message_factory")
    return {
        _transport.path(method.name): (
            factory.GetMessageClass(method.input_type),
            factory.GetMessageClass(method.output_type),
        )
        for method in service.methods
    }


def their_history(propagated: PropagatedHistory | None) -> Any:
    """A history handed on, as a `dapr.ext.workflow.PropagatedHistory`."""
    if propagated is None:
        return None
    pb = protos()
    message = pb.PropagatedHistory(scope=int(propagated.scope))
    for chunk in propagated.chunks:
        message.chunks.add(
            appId=chunk.app_id,
            instanceId=chunk.instance_id,
            workflowName=chunk.workflow_name,
            rawEvents=[event.serialized for event in chunk.events],
        )
    return _propagation().PropagatedHistory.from_proto(message)


def decoded_history(serialized: bytes) -> Any:
    """The same from a serialized message."""
    message = protos().PropagatedHistory.FromString(serialized)
    return _propagation().PropagatedHistory.from_proto(message)


@functools.cache
def _propagation() -> Any:
    return importlib.import_module("dapr.ext.workflow.propagation")


def checked_page_size(page_size: int | None) -> int | None:
    """A page size as sidecars take it.

    Raises:
        ValueError: It is not from 1 to 2**32 - 1.
    """
    if page_size is not None and not 1 <= page_size <= _UINT32_MAX:
        raise ValueError(
            f"page_size must be from 1 to {_UINT32_MAX}, or None to leave it to the sidecar; found {page_size}"
        )
    return page_size


def check_rerun(event_id: int, **instance_ids: str | None) -> None:
    """Refuse what sidecars take literally, and then can not do.

    Raises:
        ValueError: The event's id is no number from 0 to 2**32 - 1, or an instance id is empty.
    """
    if not 0 <= event_id <= _UINT32_MAX:
        hint = "; events with -1 have no id, and nothing can be run again from them"
        raise ValueError(
            f"event_id must be from 0 to {_UINT32_MAX}; found {event_id}{hint if event_id < 0 else ''}"
        )
    for name, value in instance_ids.items():
        if value == "":
            raise ValueError(f"{name} must not be empty; None has an id generated")
