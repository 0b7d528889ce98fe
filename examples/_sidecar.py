"""Finds the sidecar for the examples: one that runs already, or one of their own.

Your program does not need this: it knows its sidecar's address, or leaves it to the DAPR_GRPC_*
variables.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ADDRESS_VARIABLES = ("DAPR_GRPC_ENDPOINT", "DAPR_GRPC_HOST", "DAPR_RUNTIME_HOST", "DAPR_GRPC_PORT")


@contextmanager
def sidecar_address() -> Iterator[str | None]:
    """Yield the address to connect to.

    It is the command line's first argument, such as `localhost:4001`. Without one it is None if
    DAPR_GRPC_* variables are set, since workers and clients read those themselves. Else it is that
    of an embedded sidecar, in memory, which ends with the `with` block.
    """
    if len(sys.argv) > 1:
        yield sys.argv[1]
    elif any(os.environ.get(name) for name in ADDRESS_VARIABLES):
        yield None
    else:
        # Here, so that with an address the examples need no more than 0.17 of the SDK has.
        from durabletask.sidecar import Sidecar

        with Sidecar() as sidecar:
            yield sidecar.address
