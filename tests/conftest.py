"""What all Python tests share: no sidecar but the ones that they start themselves."""

from __future__ import annotations

import os

# Before any test module is imported: an address in the environment would lead tests to a sidecar
# that is in use.
for name in ("DAPR_GRPC_ENDPOINT", "DAPR_GRPC_HOST", "DAPR_RUNTIME_HOST", "DAPR_GRPC_PORT"):
    os.environ.pop(name, None)
