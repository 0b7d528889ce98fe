"""Tasks that programs make and derive from, as 0.17 let them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from durabletask import task


def test_tasks_can_be_derived_from_with_arguments() -> None:
    class Named(task.CompletableTask[str]):
        def __init__(self, name: str, *, size: int = 0) -> None:
            super().__init__()
            self.name = name

    made = Named("a", size=2)
    made.complete("done")
    assert (made.name, made.get_result()) == ("a", "done")

    class Mine(task.Task[int]):
        def __init__(self, number: int) -> None:
            super().__init__()

    assert not Mine(1).is_complete


def test_a_retryable_task_tells_its_next_delay() -> None:
    policy = task.RetryPolicy(
        first_retry_interval=timedelta(seconds=2),
        max_number_of_attempts=4,
        backoff_coefficient=3.0,
        max_retry_interval=timedelta(seconds=10),
    )
    made: task.RetryableTask[Any] = task.RetryableTask(policy, datetime(2026, 1, 1), False, "name")
    delays = []
    for _ in range(4):
        delays.append(made.compute_next_delay())
        made.increment_attempt_count()
    assert delays == [timedelta(seconds=2), timedelta(seconds=6), timedelta(seconds=10), None]
