"""Addresses, channels and loggers: what the client and the worker share.

`get_grpc_channel` is looked up here by name at each use, because other packages replace it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import grpc

from durabletask._logging import get_logger
from durabletask._payloads.json_classes import InternalJSONDecoder, InternalJSONEncoder
from durabletask._payloads.read import from_json
from durabletask._payloads.write import AUTO_SERIALIZED, to_json

__all__ = [
    "AUTO_SERIALIZED",
    "DEFAULT_CHANNEL_OPTIONS",
    "DEFAULT_GRPC_KEEPALIVE_OPTIONS",
    "INSECURE_PROTOCOLS",
    "SECURE_PROTOCOLS",
    "ClientInterceptor",
    "InternalJSONDecoder",
    "InternalJSONEncoder",
    "from_json",
    "get_default_host_address",
    "get_grpc_channel",
    "get_logger",
    "resolve_target",
    "to_json",
]

ClientInterceptor = (
    grpc.UnaryUnaryClientInterceptor
    | grpc.UnaryStreamClientInterceptor
    | grpc.StreamUnaryClientInterceptor
    | grpc.StreamStreamClientInterceptor
)

SECURE_PROTOCOLS = ["https://", "grpcs://"]
INSECURE_PROTOCOLS = ["http://", "grpc://"]

# No transport pings: sidecars answer frequent ones with GOAWAY too_many_pings, which kills every
# call on the connection. No bound on the size of messages: a work item carries the whole history,
# and one that cannot arrive is never answered. Pauses between attempts to connect would otherwise
# grow up to two minutes, so that clients would go on failing long after the sidecar is back.
DEFAULT_CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)

# The name under which 0.17 has its defaults.
DEFAULT_GRPC_KEEPALIVE_OPTIONS = DEFAULT_CHANNEL_OPTIONS


def get_default_host_address() -> str:
    """The address of the sidecar when the program gives none.

    DAPR_GRPC_ENDPOINT; else DAPR_GRPC_HOST or DAPR_RUNTIME_HOST, with DAPR_GRPC_PORT (4001); else
    localhost:4001.
    """
    endpoint = os.environ.get("DAPR_GRPC_ENDPOINT")
    if endpoint:
        return endpoint
    host = os.environ.get("DAPR_GRPC_HOST") or os.environ.get("DAPR_RUNTIME_HOST")
    if host:
        return f"{host}:{os.environ.get('DAPR_GRPC_PORT', '4001')}"
    return "localhost:4001"


def hint_about_port(host_address: str) -> str:
    """What to say when nobody answers at an address, although DAPR_GRPC_PORT names another; mostly nothing."""
    port = os.environ.get("DAPR_GRPC_PORT")
    if not port or host_address != get_default_host_address():
        return ""
    if any(map(os.environ.get, ("DAPR_GRPC_ENDPOINT", "DAPR_GRPC_HOST", "DAPR_RUNTIME_HOST"))):
        return ""
    return f"; DAPR_GRPC_PORT, which is {port}, counts only together with DAPR_GRPC_HOST"


def resolve_target(host_address: str | None, secure_channel: bool) -> tuple[str, bool]:
    """The gRPC target of an address, and whether to use TLS; a scheme in it decides on that."""
    address = get_default_host_address() if host_address is None else host_address
    lowered = address.lower()
    for scheme in SECURE_PROTOCOLS:
        if lowered.startswith(scheme):
            return address[len(scheme) :], True
    for scheme in INSECURE_PROTOCOLS:
        if lowered.startswith(scheme):
            return address[len(scheme) :], False
    return address, secure_channel


def get_grpc_channel(
    host_address: str | None,
    secure_channel: bool = False,
    interceptors: Sequence[ClientInterceptor] | None = None,
    options: Sequence[tuple[str, Any]] | None = None,
) -> grpc.Channel:
    """Open a channel; it connects at the first call.

    Args:
        host_address: `host:port`, with or without a scheme, or any gRPC target; None:
            `get_default_host_address()`.
        secure_channel: Whether to use TLS when the address has no scheme that says so.
        interceptors: Applied to every call, the first one outermost.
        options: gRPC channel arguments; they override `DEFAULT_CHANNEL_OPTIONS`.

    """
    target, secure = resolve_target(host_address, secure_channel)
    merged = list({**dict(DEFAULT_CHANNEL_OPTIONS), **dict(options or ())}.items())
    if secure:
        channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(), options=merged)
    else:
        channel = grpc.insecure_channel(target, options=merged)
    return grpc.intercept_channel(channel, *interceptors) if interceptors else channel


# Tells whether it has been replaced.
OWN_GET_GRPC_CHANNEL = get_grpc_channel
