"""Which tests of this folder run on which sidecars (see `support.sidecar`), and the client that they share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from durabletask.client import TaskHubGrpcClient

from support.sidecar import GIVEN, KIND, KINDS


def pytest_configure(config: pytest.Config) -> None:
    if KIND not in KINDS:
        raise pytest.UsageError(
            f"DURABLETASK_TEST_SIDECAR_KIND: expected one of {', '.join(KINDS)}, found {KIND!r}"
        )
    config.addinivalue_line(
        "markers", "sidecars(*kinds, reason): runs on these kinds of sidecars alone; why is said"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("sidecars"):
            if KIND not in marker.args:
                reason = f"not on {KIND} at {GIVEN}: {marker.kwargs['reason']}"
                item.add_marker(pytest.mark.skip(reason=reason))
                break


@pytest.fixture
def client(address: str) -> Iterator[TaskHubGrpcClient]:
    """Return a client for the sidecar that the module's own `address` names."""
    with TaskHubGrpcClient(host_address=address) as client:
        yield client
