"""gRPC interceptors written for messages, on connections that carry bytes.

An interceptor of Dapr's own looks at no message, so it is let be, or replaced by what it does. Any other one is handed
the messages of Dapr's SDK.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from durabletask.dapr import _messages

_DAPR_OWN = ("dapr.clients.grpc.interceptors", "dapr.aio.clients.grpc.interceptors")
_TIMEOUTS = ("DaprClientTimeoutInterceptor", "DaprClientTimeoutInterceptorAsync")


def adapted(interceptors: Sequence[Any] | None) -> tuple[list[Any], bool]:
    """The interceptors to install, and whether calls are to have Dapr's default deadline."""
    installed, with_deadline = [], False
    for interceptor in interceptors or ():
        kind = type(interceptor)
        if kind.__module__ not in _DAPR_OWN:
            installed.append(_adapter(interceptor))
        elif kind.__name__ in _TIMEOUTS:
            with_deadline = (
                True  # an interceptor slows every call down, and this one does nothing else
            )
        else:
            installed.append(interceptor)
    return installed, with_deadline


def deadline(timeout: float | None) -> float | None:
    """The timeout of a call, in seconds: DAPR_API_TIMEOUT_SECONDS if it is set and the call has none."""
    if timeout is not None:
        return timeout
    default = importlib.import_module("dapr.conf").settings.DAPR_API_TIMEOUT_SECONDS
    return None if default is None else float(default)


def _adapter(interceptor: Any) -> Any:
    unary = isinstance(interceptor, grpc.UnaryUnaryClientInterceptor)
    stream = isinstance(interceptor, grpc.UnaryStreamClientInterceptor)
    if unary and stream:
        return _Both(interceptor)
    if unary:
        return _Unary(interceptor)
    if stream:
        return _Stream(interceptor)
    return interceptor


class _Adapter:
    def __init__(self, interceptor: Any):
        self._interceptor = interceptor

    def _intercept(
        self, method: str, continuation: Callable[..., Any], details: Any, request: Any, wrap: Any
    ) -> Any:
        intercept = getattr(self._interceptor, method)
        path = details.method
        classes = _messages.by_path().get(path.decode() if isinstance(path, bytes) else path)
        if classes is None or not isinstance(request, bytes):
            return intercept(continuation, details, request)
        asked, answered = classes
        made = None

        def go_on(details: Any, message: Any) -> Any:
            nonlocal made
            made = continuation(details, _bytes(message))
            return wrap(made, answered.FromString, made)

        returned = intercept(go_on, details, asked.FromString(request))
        return wrap(returned, _bytes, made)


def _bytes(message: Any) -> bytes:
    if isinstance(message, bytes):
        return message
    serialized: bytes = message.SerializeToString()
    return serialized


class _Call:
    """A call in progress, with answers in another form; all else is the call's own.

    An interceptor may return what can do less than a call, a generator for one; the rest is then up to the call `made`.
    """

    def __init__(self, call: Any, convert: Callable[[Any], Any], made: Any):
        self._call = call
        self._convert = convert
        self._made = made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call if hasattr(self._call, name) else self._made, name)


class _UnaryCall(_Call):
    def result(self, timeout: float | None = None) -> Any:
        return self._convert(self._call.result(timeout))

    def add_done_callback(self, fn: Callable[[Any], Any]) -> Any:
        return self._call.add_done_callback(lambda _: fn(self))


class _StreamCall(_Call):
    def __iter__(self) -> _StreamCall:
        return self

    def __next__(self) -> Any:
        return self._convert(next(self._items))

    @functools.cached_property
    def _items(self) -> Any:
        # What an interceptor returns may be a list, or whatever else can be iterated over.
        return self._call if hasattr(self._call, "__next__") else iter(self._call)


class _Unary(_Adapter, grpc.UnaryUnaryClientInterceptor):
    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return self._intercept("intercept_unary_unary", continuation, details, request, _UnaryCall)


class _Stream(_Adapter, grpc.UnaryStreamClientInterceptor):
    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return self._intercept(
            "intercept_unary_stream", continuation, details, request, _StreamCall
        )


class _Both(_Unary, _Stream):
    pass
