"""How much a worker does at once."""

from __future__ import annotations

import os


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


def _bound(name: str, value: int | None, default: int) -> int:
    if value is None:
        return default
    if value < 1:
        raise ValueError(
            f"{name} must be >= 1, not {value}: a worker that may run nothing would hang"
        )
    return value
