"""Adds metadata, such as an API token, to every call of an asyncio channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from grpc import aio as grpc_aio

_Continuation = Callable[[Any, Any], Awaitable[Any]]


class DefaultClientInterceptorImpl(
    grpc_aio.UnaryUnaryClientInterceptor,
    grpc_aio.UnaryStreamClientInterceptor,
    grpc_aio.StreamUnaryClientInterceptor,
    grpc_aio.StreamStreamClientInterceptor,
):
    """Adds the same pairs of metadata to every call."""

    def __init__(self, metadata: Sequence[tuple[str, str]] | None):
        super().__init__()
        self._metadata = metadata

    def _intercept_call(self, details: Any) -> Any:
        if not self._metadata:
            return details
        return grpc_aio.ClientCallDetails(
            details.method,
            details.timeout,
            grpc_aio.Metadata(*(details.metadata or ()), *self._metadata),
            details.credentials,
            details.wait_for_ready,
        )

    async def intercept_unary_unary(
        self, continuation: _Continuation, client_call_details: Any, request: Any
    ) -> Any:
        """Called by grpc."""
        return await continuation(self._intercept_call(client_call_details), request)

    async def intercept_unary_stream(
        self, continuation: _Continuation, client_call_details: Any, request: Any
    ) -> Any:
        """Called by grpc."""
        return await continuation(self._intercept_call(client_call_details), request)

    async def intercept_stream_unary(
        self, continuation: _Continuation, client_call_details: Any, request_iterator: Any
    ) -> Any:
        """Called by grpc."""
        return await continuation(self._intercept_call(client_call_details), request_iterator)

    async def intercept_stream_stream(
        self, continuation: _Continuation, client_call_details: Any, request_iterator: Any
    ) -> Any:
        """Called by grpc."""
        return await continuation(self._intercept_call(client_call_details), request_iterator)
