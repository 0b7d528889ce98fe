"""Numbers of the protocol that callers need, and its messages where protobuf is installed.

This package needs no protobuf: messages are made in `durabletask._core`. For programs that read or write
them, the extra `protobuf` brings it; the classes are then made, when first asked for, from the same
protocol that the package is built with.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# OrchestrationStatus: where an instance is in its life.
ORCHESTRATION_STATUS_RUNNING = 0
ORCHESTRATION_STATUS_COMPLETED = 1
ORCHESTRATION_STATUS_CONTINUED_AS_NEW = 2
ORCHESTRATION_STATUS_FAILED = 3
ORCHESTRATION_STATUS_CANCELED = 4
ORCHESTRATION_STATUS_TERMINATED = 5
ORCHESTRATION_STATUS_PENDING = 6
ORCHESTRATION_STATUS_SUSPENDED = 7
ORCHESTRATION_STATUS_STALLED = 8

# CreateOrchestrationAction: what to do when an instance id is taken.
ERROR = 0
IGNORE = 1
TERMINATE = 2


class OrchestrationIdReusePolicy:
    """What `schedule_new_orchestration` shall do when the instance id is taken.

    Sidecars since Dapr 1.18 ignore it: a running id is refused, a finished one is used again.
    """

    def __init__(
        self,
        operationStatus: Iterable[int] = (),  # noqa: N803 - the protocol's name, as it was
        action: int = ERROR,
    ):
        """Apply `action` if the instance is in one of the states `operationStatus`, else fail."""
        self.operationStatus: list[int] = list(operationStatus)
        self.action = action

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OrchestrationIdReusePolicy):
            return NotImplemented
        return (self.operationStatus, self.action) == (other.operationStatus, other.action)

    __hash__ = None  # type: ignore[assignment]  # mutable, as the protobuf message was

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.operationStatus}, action={self.action})"


def __getattr__(name: str) -> Any:
    """A message, an enum or a number of the protocol, or its DESCRIPTOR."""
    from durabletask._protobuf import protocol

    if not name.startswith("__"):
        try:
            names = protocol().names
        except ImportError:
            raise AttributeError(
                f"module {__name__!r} has no attribute {name!r}: the protocol's messages need protobuf, "
                "which `pip install durabletask-rs[protobuf]` brings"
            ) from None
        if name in names:
            return names[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
