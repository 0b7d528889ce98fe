"""What gRPC interceptors see: messages where protobuf is installed, and else the bytes that cross the connection.

Interceptors are written for messages, and the package's own calls carry bytes. So each interceptor of a program is put
into an adapter; calls without any cost nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc import aio as grpc_aio

from durabletask import _transport
from durabletask._protobuf import classes_of, protocol

_OWN = ("durabletask.internal.grpc_interceptor", "durabletask.aio.internal.grpc_interceptor")

# The classes of request and response of the method at a path; None: its messages are not known.
Classes = Callable[[str], "tuple[Any, Any] | None"]


def adapted(interceptors: Sequence[Any] | None, classes: Classes | None = None) -> list[Any]:
    """The interceptors to install, so that those of the program see messages, by default the package's own.

    Those that are adapted already stay as they are, as do the package's, which look at none.
    """
    chosen = _own_classes if classes is None else classes
    return [_adapter(interceptor, chosen) for interceptor in interceptors or ()]


@functools.cache
def _own_classes(path: str) -> tuple[Any, Any] | None:
    try:
        methods = protocol().service.methods_by_name
    except ImportError:
        return None
    method = path.rpartition("/")[2]
    known = path == _transport.path(method) and method in methods
    return classes_of(method) if known else None


def _adapter(interceptor: Any, classes: Classes) -> Any:
    if isinstance(interceptor, _Adapter) or type(interceptor).__module__ in _OWN:
        return interceptor
    for known, made in _ADAPTERS:
        if all(isinstance(interceptor, kind) for kind in known):
            return made(interceptor, classes)
    return interceptor


class _Adapter:
    def __init__(self, interceptor: Any, classes: Classes):
        self._interceptor = interceptor
        self._classes = classes

    def _known(self, details: Any, request: Any) -> tuple[Any, Any] | None:
        path = details.method
        path = path.decode() if isinstance(path, bytes) else path
        return self._classes(path) if isinstance(request, bytes) else None


def _bytes(message: Any) -> Any:
    return message.SerializeToString() if hasattr(message, "SerializeToString") else message


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


class _AioCall(_Call):
    def __await__(self) -> Any:
        answer = yield from self._call.__await__()
        return self._convert(answer)

    def add_done_callback(self, callback: Callable[[Any], Any]) -> None:
        self._call.add_done_callback(lambda _: callback(self))


class _Unary(_Adapter, grpc.UnaryUnaryClientInterceptor):
    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        intercept = self._interceptor.intercept_unary_unary
        return _intercepted(
            intercept, continuation, details, request, self._known(details, request), _UnaryCall
        )


class _Stream(_Adapter, grpc.UnaryStreamClientInterceptor):
    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        intercept = self._interceptor.intercept_unary_stream
        return _intercepted(
            intercept, continuation, details, request, self._known(details, request), _StreamCall
        )


class _Both(_Unary, _Stream):
    pass


def _intercepted(
    intercept: Any, continuation: Any, details: Any, request: Any, classes: Any, wrap: Any
) -> Any:
    if classes is None:
        return intercept(continuation, details, request)
    asked, answered = classes
    made = None

    def go_on(details: Any, message: Any) -> Any:
        nonlocal made
        made = continuation(details, _bytes(message))
        return wrap(made, answered.FromString, made)

    returned = intercept(go_on, details, asked.FromString(request))
    return wrap(returned, _bytes, made)


class _AioUnary(_Adapter, grpc_aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        intercept = self._interceptor.intercept_unary_unary
        classes = self._known(details, request)
        if classes is None:
            return await intercept(continuation, details, request)
        asked, answered = classes

        async def go_on(details: Any, message: Any) -> Any:
            call = await continuation(details, _bytes(message))
            return _AioCall(call, answered.FromString, call)

        returned = await intercept(go_on, details, asked.FromString(request))
        # The call itself, as it came; else what the interceptor has for an answer.
        return returned._call if isinstance(returned, _AioCall) else _bytes(returned)


_ADAPTERS: tuple[tuple[tuple[type, ...], type[_Adapter]], ...] = (
    ((grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor), _Both),
    ((grpc.UnaryUnaryClientInterceptor,), _Unary),
    ((grpc.UnaryStreamClientInterceptor,), _Stream),
    ((grpc_aio.UnaryUnaryClientInterceptor,), _AioUnary),
)
