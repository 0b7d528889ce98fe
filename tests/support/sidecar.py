"""The sidecar that tests run on: an embedded one of their own, or one that runs already.

`make test-sidecar ADDRESS=host:port KIND=dapr` sets the variables read here. Tests of workers and
clients then run on that sidecar. What it does otherwise, or what needs a sidecar of its own, is
skipped and says why: `e2e/conftest.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

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
