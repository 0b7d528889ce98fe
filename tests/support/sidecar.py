"""The sidecar that tests run on: an embedded one of their own, or one that runs already.

`make test-sidecar ADDRESS=host:port KIND=dapr` sets the variables read here. Tests of workers and
clients then run on that sidecar. What it does otherwise, or what needs a sidecar of its own, is
skipped and says why: `e2e/conftest.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from durabletask.sidecar import Sidecar

KINDS = ("embedded", "durabletask-go", "dapr")

GIVEN = os.environ.get("DURABLETASK_TEST_SIDECAR") or None
KIND = os.environ.get("DURABLETASK_TEST_SIDECAR_KIND", "dapr") if GIVEN else "embedded"

# "app-id=host:port": the sidecar of another app, beside the given one.
OTHER_APP = os.environ.get("DURABLETASK_TEST_OTHER_APP") or None


@contextmanager
def sidecar_address() -> Iterator[str]:
    """Yield the address of the given sidecar, or else of an embedded one in memory."""
    if GIVEN is not None:
        yield GIVEN
    else:
        with Sidecar() as sidecar:
            yield sidecar.address


def once_served(call: Callable[[], None]) -> None:
    """Make a call until the sidecar takes it: Dapr refuses some until it has noticed the worker."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            details = error.details() or ""
            refused = "not registered" in details or "did not find address" in details
            if not refused or time.monotonic() > deadline:
                raise
        time.sleep(0.05)
