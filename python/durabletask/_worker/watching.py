"""What is to be seen of an activity from outside: a span, how long it took, and a line in the log if it failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from durabletask import _core
from durabletask._tracing import telemetry
from durabletask._worker.failures import message_of, name_of, traceback_of
from durabletask._worker.metrics import METRICS
from durabletask._worker.tracing import ActivitySpan, activity_span


class Watch:
    """Watches one run of an activity, from its call until its result is ready to be sent."""

    __slots__ = ("_began", "_item", "_span")

    def __init__(self, item: _core.WorkItem, span: ActivitySpan | None):
        self._item = item
        self._span = span
        self._began = time.perf_counter() if METRICS.times_activities else 0.0

    def call(self, run: Callable[[_core.WorkItem], Any]) -> Any:
        """What the activity returns, which may still be to be awaited: with `awaiting`."""
        if self._span is None:
            return run(self._item)
        with self._span.current():
            return run(self._item)

    def awaiting(self, awaitable: Awaitable[Any]) -> Awaitable[Any]:
        """The same awaitable, watched."""
        return awaitable if self._span is None else self._span.around(awaitable)

    def cut_off(self, error: BaseException) -> None:
        """The worker stops, and the activity has not come to an end of its own."""
        if self._span is not None:
            self._span.end(error)

    def ended(self, error: BaseException | None = None) -> None:
        """The activity is over: with an error, if it has failed."""
        item = self._item
        if METRICS.times_activities:
            METRICS.activity_ended(item.name, time.perf_counter() - self._began, error)
        if self._span is not None:
            self._span.end(error)


def watched(item: _core.WorkItem) -> Watch | None:
    """Begins to watch an activity; None if nobody would see anything of it, as without OpenTelemetry."""
    if telemetry() is None:
        return None
    span = activity_span(item)
    return None if span is None and not METRICS.times_activities else Watch(item, span)


# From instance id, task id, activity, error type, and the time in microseconds to the number of the attempt, how many
# there are at most, and when the next one begins; None: not known here.
TellOfAttempt = Callable[[str, int, str, str, int], "tuple[int, int, int | None] | None"]


def log_failure(
    logger: logging.Logger,
    item: _core.WorkItem,
    error: BaseException,
    tell_of_attempt: TellOfAttempt,
) -> None:
    """Say in the log which activity has failed, and where; which attempt it was, if the orchestrator is alive here."""
    if not logger.isEnabledFor(logging.WARNING):
        return
    fields: dict[str, Any] = {
        "instance_id": item.instance_id,
        "activity": item.name,
        "task_id": item.task_id,
    }
    what, next_one = "", ""
    number = tell_of_attempt(
        item.instance_id, item.task_id, item.name, name_of(error), time.time_ns() // 1000
    )
    if number is not None:
        attempt, most, next_at = number
        at = None if next_at is None else _iso(next_at)
        fields |= {"attempt": attempt, "max_attempts": most, "next_attempt_at": at}
        what = f"attempt {attempt} of {most} at "
        next_one = f"; the next one is at {at}" if at else "; there is no next one"
    logger.warning(
        "%s: %sthe activity '%s' (task #%d) has failed with %s: %s%s",
        item.instance_id,
        what,
        item.name,
        item.task_id,
        name_of(error),
        message_of(error),
        next_one,
        exc_info=(type(error), error, traceback_of(error)),
        extra=fields,
    )


def _iso(micros: int) -> str:
    moment = datetime(1970, 1, 1) + timedelta(microseconds=micros)
    return f"{moment.isoformat()}Z"
