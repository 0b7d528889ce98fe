"""The sidecar's service for grpc, with messages of protobuf, which has to be installed."""

from __future__ import annotations

from typing import Any

import grpc

from durabletask._protobuf import classes_of, protocol

_SERVICE = "TaskHubSidecarService"


class TaskHubSidecarServiceStub:
    """Calls the sidecar: has an attribute for each method, which takes and gives messages."""

    def __init__(self, channel: Any):
        for method in protocol().service.methods:
            request, response = classes_of(method.name)
            make = channel.unary_stream if method.server_streaming else channel.unary_unary
            call = make(
                f"/{_SERVICE}/{method.name}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )
            setattr(self, method.name, call)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the sidecar's service has no method {name}")


class TaskHubSidecarServiceServicer:
    """A sidecar that answers nothing: a base for those that answer something."""

    def __getattr__(self, name: str) -> Any:
        if name not in protocol().service.methods_by_name:
            raise AttributeError(f"the sidecar's service has no method {name}")

        def unimplemented(request: Any, context: Any) -> Any:
            context.set_code(grpc.StatusCode.UNIMPLEMENTED)
            context.set_details("Method not implemented!")
            raise NotImplementedError("Method not implemented!")

        return unimplemented


def add_TaskHubSidecarServiceServicer_to_server(servicer: Any, server: Any) -> None:  # noqa: N802
    """Let a grpc server answer the sidecar's methods by those of `servicer`."""
    handlers = {}
    for method in protocol().service.methods:
        request, response = classes_of(method.name)
        make: Any = (
            grpc.unary_stream_rpc_method_handler
            if method.server_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        handlers[method.name] = make(
            getattr(servicer, method.name),
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, handlers),))
