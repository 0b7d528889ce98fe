"""Adds metadata, such as an API token, to every call of a channel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import grpc


class _CallDetailsFields(NamedTuple):
    method: Any
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _ClientCallDetails(_CallDetailsFields, grpc.ClientCallDetails):
    """The details of one call, with other metadata than the caller gave."""


class DefaultClientInterceptorImpl(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the same pairs of metadata to every call."""

    def __init__(self, metadata: Sequence[tuple[str, str]] | None):
        super().__init__()
        self._metadata = metadata

    def _intercept_call(self, details: Any) -> Any:
        if not self._metadata:
            return details
        return _ClientCallDetails(
            details.method,
            details.timeout,
            [*(details.metadata or ()), *self._metadata],
            details.credentials,
            getattr(details, "wait_for_ready", None),
            getattr(details, "compression", None),
        )

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        """Called by grpc."""
        return continuation(self._intercept_call(client_call_details), request)

    def intercept_unary_stream(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        """Called by grpc."""
        return continuation(self._intercept_call(client_call_details), request)

    def intercept_stream_unary(
        self,
        continuation: Callable[[Any, Any], Any],
        client_call_details: Any,
        request_iterator: Iterator[Any],
    ) -> Any:
        """Called by grpc."""
        return continuation(self._intercept_call(client_call_details), request_iterator)

    def intercept_stream_stream(
        self,
        continuation: Callable[[Any, Any], Any],
        client_call_details: Any,
        request_iterator: Iterator[Any],
    ) -> Any:
        """Called by grpc."""
        return continuation(self._intercept_call(client_call_details), request_iterator)
