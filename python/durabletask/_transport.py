"""Calls to the sidecar: paths, channels, and which failures mean that the connection is gone.

Messages cross gRPC as bytes: they are made and read in `durabletask._core`.
"""

from __future__ import annotations

import inspect
import os
import random
from collections.abc import Iterator, Sequence
from typing import Any

import grpc

from durabletask.internal import shared

_SERVICE = "/TaskHubSidecarService/"
_TOKEN = "dapr-api-token"

# Failures of a stream or of the connection under it, in the words of gRPC implementations. They
# arrive under codes that also mean other things, so the code alone does not tell.
_CONNECTION_WORDS = (
    "rst_stream",
    "stream removed",
    "goaway",
    "too_many_pings",
    "enhance_your_calm",
    "connection reset",
    "socket closed",
    "broken pipe",
)

# What Dapr says of orchestrations while no worker of their app is connected, or until it has noticed
# one: the actors that stand for them live and die with the workers.
_NO_WORKER_WORDS = (
    "did not find address for actor 'dapr.internal.",
    "actor type dapr.internal.",
    "actor is closed",
)


def with_api_token(metadata: Sequence[tuple[str, str]] | None) -> list[tuple[str, str]]:
    """The metadata of every call: what the program gives, and the token in DAPR_API_TOKEN if that names none."""
    pairs = list(metadata or ())
    token = os.environ.get("DAPR_API_TOKEN", "").strip()
    if token and all(name.lower() != _TOKEN for name, _ in pairs):
        pairs.append((_TOKEN, token))
    return pairs


def path(method: str) -> str:
    """The gRPC path of a method of the sidecar; one of another service brings its path along."""
    return method if method.startswith("/") else _SERVICE + method


def open_channel(
    host_address: str | None,
    secure_channel: bool,
    interceptors: Sequence[Any] | None,
    options: Sequence[tuple[str, Any]] | None,
) -> grpc.Channel:
    """Open a channel by `internal.shared.get_grpc_channel`, whoever wrote it.

    Packages replace that function, some with one that takes no options.
    """
    factory = shared.get_grpc_channel
    if options and _takes_options(factory):
        return factory(host_address, secure_channel, interceptors, options=options)
    return factory(host_address, secure_channel, interceptors)


def _takes_options(factory: Any) -> bool:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return True
    return "options" in parameters or any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()
    )


def code_of(error: Any) -> grpc.StatusCode | None:
    """The status code of a failed call; None if it has none, as errors of interceptors may."""
    code = getattr(error, "code", None)
    return code() if callable(code) else None


def is_connection_failure(error: Any) -> bool:
    """Whether a call failed by losing its connection, so that it may succeed on another.

    `error` is a `grpc.RpcError` of either API.
    """
    code = code_of(error)
    if code is grpc.StatusCode.UNAVAILABLE:
        return True
    if code is grpc.StatusCode.CANCELLED:
        return True  # by the other side: callers rule out that it was their own doing
    if code in (
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ):
        details = (error.details() or "").lower()
        return any(words in details for words in _CONNECTION_WORDS)
    return False


def asks_to_try_again(error: Any) -> bool:
    """Whether a failed call says of itself that it may succeed later, in gRPC's way: by a `RetryInfo`."""
    trailing = getattr(error, "trailing_metadata", None)
    for name, value in (trailing() if callable(trailing) else None) or ():
        if name == "grpc-status-details-bin" and b"/google.rpc.RetryInfo" in value:
            return True
    return False


def is_for_want_of_a_worker(error: Any) -> bool:
    """Whether a call failed because Dapr has no worker connected just now, as while one restarts.

    `error` is a `grpc.RpcError` of either API.
    """
    if code_of(error) not in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNKNOWN):
        return False
    details = error.details() or ""
    return any(words in details for words in _NO_WORKER_WORDS)


def describe(error: Any) -> str:
    """One line about a failed call: its status code and details."""
    code = code_of(error)
    if code is not None:
        return f"{code.name}: {error.details()}"
    return f"{type(error).__name__}: {error}"


def backoff_delays(first: float, longest: float) -> Iterator[float]:
    """Pauses between attempts, in seconds: doubling up to `longest`, each within 50 % of its mean.

    The spread keeps many workers from coming back in one moment.
    """
    delay = first
    while True:
        yield delay * random.uniform(0.5, 1.5)
        delay = min(delay * 2, longest)
