"""How much a worker does at once, and what it keeps for later."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta


class ConcurrencyOptions:
    """Bounds on the work items a worker holds at a time, and on its threads.

    The worker stops reading from the sidecar when it has reached its bounds, so that its memory is
    bounded too.
    """

    def __init__(
        self,
        maximum_concurrent_activity_work_items: int | None = None,
        maximum_concurrent_orchestration_work_items: int | None = None,
        maximum_thread_pool_workers: int | None = None,
    ):
        """Set bounds; None takes the default.

        Args:
            maximum_concurrent_activity_work_items: Activities in progress; 100 for each processor.
                `async def` activities reach it on one event loop, other activities need a thread
                each.
            maximum_concurrent_orchestration_work_items: Orchestrator turns in progress; 100 for
                each processor.
            maximum_thread_pool_workers: Threads for activities, and as many for orchestrator turns,
                started when needed; the number of processors and 4.

        Raises:
            ValueError: A bound is less than 1.

        """
        processors = os.cpu_count() or 1
        self.maximum_concurrent_activity_work_items = _bound(
            "maximum_concurrent_activity_work_items",
            maximum_concurrent_activity_work_items,
            100 * processors,
        )
        self.maximum_concurrent_orchestration_work_items = _bound(
            "maximum_concurrent_orchestration_work_items",
            maximum_concurrent_orchestration_work_items,
            100 * processors,
        )
        self.maximum_thread_pool_workers = _bound(
            "maximum_thread_pool_workers", maximum_thread_pool_workers, processors + 4
        )


@dataclass(frozen=True)
class ReplayCacheOptions:
    """Bounds on the orchestrators that a worker keeps alive between their turns.

    An orchestrator that is alive goes on with what is new in a turn; one that is not is run again from the
    beginning of its history. Which of the two happens makes no difference to what it does. When a bound is
    reached, the orchestrators that have been idle longest go first.

    Attributes:
        max_instances: How many at most.
        max_bytes: How many bytes at most, by an estimate that leaves out what the orchestrators' own variables hold.
        idle_timeout: How long one may go without a turn; a number means seconds.

    Raises:
        ValueError: A bound is negative.
    """

    max_instances: int = 10_000
    max_bytes: int = 256 * 1024 * 1024
    idle_timeout: timedelta | float = 600.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name, value in (
            ("max_instances", self.max_instances),
            ("max_bytes", self.max_bytes),
            ("idle_timeout", self.limits[2]),
        ):
            if value < 0:
                raise ValueError(f"{name} must be >= 0, not {value}")

    @property
    def limits(self) -> tuple[int, int, float]:
        """The bounds as the native cache takes them: instances, bytes, seconds."""
        idle = self.idle_timeout
        seconds = idle.total_seconds() if isinstance(idle, timedelta) else float(idle)
        return self.max_instances, self.max_bytes, seconds


def _bound(name: str, value: int | None, default: int) -> int:
    if value is None:
        return default
    if value < 1:
        raise ValueError(
            f"{name} must be >= 1, not {value}: a worker that may run nothing would hang"
        )
    return value
