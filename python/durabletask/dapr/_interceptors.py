"""gRPC interceptors of programs written for Dapr's SDK: they see that SDK's messages.

An interceptor of Dapr's own looks at no message, so it is let be, or replaced by what it does.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from durabletask import _interceptors
from durabletask.dapr import _messages

_DAPR_OWN = ("dapr.clients.grpc.interceptors", "dapr.aio.clients.grpc.interceptors")
_TIMEOUTS = ("DaprClientTimeoutInterceptor", "DaprClientTimeoutInterceptorAsync")


def adapted(interceptors: Sequence[Any] | None) -> tuple[list[Any], bool]:
    """The interceptors to install, and whether calls are to have Dapr's default deadline."""
    installed, with_deadline = [], False
    for interceptor in interceptors or ():
        kind = type(interceptor)
        if kind.__module__ in _DAPR_OWN and kind.__name__ in _TIMEOUTS:
            with_deadline = (
                True  # an interceptor slows every call down, and this one does nothing else
            )
        else:
            classes = _no_classes if kind.__module__ in _DAPR_OWN else _classes
            installed += _interceptors.adapted([interceptor], classes)
    return installed, with_deadline


def _classes(path: str) -> tuple[Any, Any] | None:
    return _messages.by_path().get(path)


def _no_classes(path: str) -> None:
    return None


def deadline(timeout: float | None) -> float | None:
    """The timeout of a call, in seconds: DAPR_API_TIMEOUT_SECONDS if it is set and the call has none."""
    if timeout is not None:
        return timeout
    default = importlib.import_module("dapr.conf").settings.DAPR_API_TIMEOUT_SECONDS
    return None if default is None else float(default)
