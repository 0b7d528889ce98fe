"""The correction of `ended_before_history`: a context that knows how its code ended, and can take that back."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

worker: Any = importlib.import_module("durabletask.worker")
task: Any = importlib.import_module("durabletask.task")


class EndingContext(worker._RuntimeOrchestrationContext):  # type: ignore[misc]
    """0.17.4's context, with what the correction has to know; nothing else is changed."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(instance_id)
        self.raised: Exception | None = None
        self.given_up: list[Any] = []
        self._ended_at = 0

    def set_complete(self, result: Any, status: Any, is_result_encoded: bool = False) -> None:
        if not self._is_complete:
            self._ended_at = self._sequence_number
        super().set_complete(result, status, is_result_encoded)

    def set_failed(self, ex: Exception) -> None:
        if not self._is_complete:
            self._ended_at = self._sequence_number
        super().set_failed(ex)

    @contextlib.contextmanager
    def noting_errors(self) -> Iterator[None]:
        """Note what the user's code raises in the past."""
        try:
            yield
        except StopIteration:
            raise
        except Exception as error:
            if self._is_replaying:
                self.raised = error
            raise

    def go_on(self, event: Any) -> None:
        """The history confirms a call after the end: one that was made before, or by other code than this."""
        status = self._completion_status
        if status == worker.pb.ORCHESTRATION_STATUS_TERMINATED or not self._is_replaying:
            return
        continued = status == worker.pb.ORCHESTRATION_STATUS_CONTINUED_AS_NEW
        made = event.eventId <= (self._sequence_number if continued else self._ended_at)
        if not made and not self._retries(event):
            self._is_complete, self.raised = False, None
            raise task.NonDeterminismError("the code had ended")

    def _retries(self, event: Any) -> bool:
        """Whether this may be a call that had failed before, or the pause before it; also of a call whose
        retry timeout is over, which 0.17.4 may have judged otherwise.
        """
        calls = [
            getattr(each, "_retryable_parent", None) or each
            for each in self._pending_tasks.values()
        ]
        retried = [each for each in calls if getattr(each, "_attempt_count", 1) > 1]
        retried += self.given_up
        if event.HasField("timerCreated"):
            return bool(retried)
        confirmed = getattr(event, event.WhichOneof("eventType"))
        is_sub = event.HasField("subOrchestrationInstanceCreated")
        return any(
            each._is_sub_orch == is_sub and each._task_name == confirmed.name for each in retried
        )
