"""Channels for asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from grpc import aio as grpc_aio

from durabletask.internal.shared import (
    INSECURE_PROTOCOLS,
    SECURE_PROTOCOLS,
    get_default_host_address,
    resolve_target,
)

__all__ = [
    "INSECURE_PROTOCOLS",
    "SECURE_PROTOCOLS",
    "ClientInterceptor",
    "get_default_host_address",
    "get_grpc_aio_channel",
]

ClientInterceptor = (
    grpc_aio.UnaryUnaryClientInterceptor
    | grpc_aio.UnaryStreamClientInterceptor
    | grpc_aio.StreamUnaryClientInterceptor
    | grpc_aio.StreamStreamClientInterceptor
)


def get_grpc_aio_channel(
    host_address: str | None,
    secure_channel: bool = False,
    interceptors: Sequence[ClientInterceptor] | None = None,
    options: Sequence[tuple[str, Any]] | None = None,
) -> grpc_aio.Channel:
    """Open an asyncio channel; it connects at the first call. Call it where the event loop runs.

    Args:
        host_address: `host:port`, with or without a scheme, or any gRPC target; None: the default
            address.
        secure_channel: Whether to use TLS when the address has no scheme that says so.
        interceptors: Applied to every call.
        options: gRPC channel arguments, as they are: the client adds the package's defaults to
            them.

    """
    target, secure = resolve_target(host_address, secure_channel)
    if secure:
        return grpc_aio.secure_channel(
            target, grpc.ssl_channel_credentials(), interceptors=interceptors, options=options
        )
    return grpc_aio.insecure_channel(target, interceptors=interceptors, options=options)
