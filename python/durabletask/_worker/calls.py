"""Activities in progress: each runs once, however often it is handed out, and answers whoever asked last."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from durabletask import _core
from durabletask._worker.activities import ActivityExecutor, is_awaitable
from durabletask._worker.failures import failure_chain
from durabletask._worker.loop import ActivityLoop, CutOff
from durabletask._worker.pool import ThreadPool
from durabletask._worker.received import Received, malformed
from durabletask._worker.reports import Reports
from durabletask._worker.surroundings import Surroundings
from durabletask._worker.unanswered import Unanswered
from durabletask._worker.watching import TellOfAttempt, Watch, log_failure, watched

# How long, in seconds, and how many bytes of results are kept that were ready when their stream had ended. The work is
# handed out again as soon as the sidecar is back, to this worker or to another.
_KEPT_SECONDS = 300.0
_KEPT_BYTES = 64 * 1024 * 1024

# From a completion token to the encoded response.
_Answer = Callable[[str], bytes]
_Key = tuple[str, int, str]


class Call:
    """An activity in progress, or one that has ended and whose result nobody could take yet."""

    __slots__ = ("answer", "context", "expires", "key", "lane_done", "received", "size", "watch")

    context: contextvars.Context  # from its start on
    lane_done: Callable[[], None] | None

    def __init__(self, key: _Key, received: Received):
        self.key = key
        self.received = received  # the newest delivery
        self.watch: Watch | None = None  # once it has begun, if anybody is to see anything of it
        self.answer: _Answer | None = None  # once it has ended
        self.expires = 0.0
        self.size = 0

    def over(self) -> None:
        """It takes no place in its lane any more; a result that was kept has none."""
        done, self.lane_done = self.lane_done, None
        if done is not None:
            done()


class ActivityCalls:
    """Runs activities on threads and on an event loop, and reports what comes of them."""

    def __init__(
        self,
        activities: ActivityExecutor,
        threads: ThreadPool,
        reporters: ThreadPool,
        loop: ActivityLoop,
        context: contextvars.Context,
        logger: logging.Logger,
        unanswered: Unanswered,
        tell_of_attempt: TellOfAttempt,
        *,
        stalls: bool,
    ):
        """`reporters` report what the event loop must not wait for; every activity runs in a copy of `context`.

        `unanswered` takes what is kept from coming to an end; and with `stalls` activities that are not registered,
        which fail otherwise. `tell_of_attempt` is asked for the number of an attempt that has failed.
        """
        self._activities = activities
        self._unanswered = unanswered
        self._stalls = stalls
        self._tell_of_attempt = tell_of_attempt
        self._threads = threads
        self._reporters = reporters
        self._reports = Reports(_too_large, logger)
        self._loop = loop
        self._surroundings = Surroundings(context)
        self._logger = logger
        self._calls: dict[_Key, Call] = {}
        self._kept: dict[_Key, Call] = {}
        self._kept_bytes = 0
        self._lock = threading.Lock()
        self._stopping = False

    def are_mixed(self) -> bool:
        """Whether there are activities that need a thread, and others that need none."""
        return self._activities.are_mixed()

    def set_done(self, threaded: Callable[[], None], awaited: Callable[[], None]) -> None:
        """What is called when an activity is over that needed a thread, or needed none."""
        self._threaded_done = threaded
        self._awaited_done = awaited

    def is_async(self, item: _core.WorkItem) -> bool:
        """Whether a work item needs no thread."""
        return item.problem is None and self._activities.is_async(item.name)

    def received(self, received: Received) -> Call | None:
        """What is to be started for a work item that came in; None: it has begun here before."""
        item = received.item
        call = Call((item.instance_id, item.task_id, item.task_execution_id), received)
        return None if call.key in self._calls and self._joins(call) else call

    def _joins(self, new: Call) -> bool:
        """Whether an activity that is handed out has begun here before: then its result goes to this delivery.

        So a lost stream neither runs an activity twice nor wastes what it has done.
        """
        received = new.received
        with self._lock:
            call = self._calls.get(new.key)
            if call is None or not _same(call.received.item, received.item):
                return False
            call.received = received
            kept = call.key in self._kept
            self._take_back(call)
        if not kept:
            self._logger.info(
                "Still running %s, which was handed out again: it answers this time.",
                received.subject,
                extra=received.fields,
            )
        else:
            self._aside(call, partial(self._report, call))
        return True

    def start_threaded(self, call: Call) -> None:
        """Run an activity on a thread."""
        call.lane_done = self._threaded_done
        if self._begins(call):
            self._threads.submit(partial(self._run, call))

    def start_awaited(self, call: Call) -> None:
        """Run an asynchronous activity on the event loop."""
        call.lane_done = self._awaited_done
        if self._begins(call):
            self._await(call, partial(self._call_async, call))

    def _begins(self, call: Call) -> bool:
        if call.key in self._calls and self._joins(call):
            call.over()
            return False
        if self._stalls and self._lacks(call.received.item):
            self._unanswered.lacks_activity(call.received)
            call.over()
            return False
        call.context = self._surroundings.fresh()
        self._calls[call.key] = call
        return True

    def _lacks(self, item: _core.WorkItem) -> bool:
        return item.problem is None and not self._activities.has(item.name)

    def expire(self) -> None:
        """Forget results that have been kept for too long."""
        now = time.monotonic()
        with self._lock:
            dropped = [each for each in self._kept.values() if each.expires <= now]
            for call in dropped:
                self._forget(call)
        self._say_dropped(dropped)

    def stop(self) -> None:
        """Report nothing more of what is cancelled from now on: it has not ended, but was cut off."""
        self._stopping = True

    # Running

    def _run(self, call: Call) -> None:
        """Run a synchronous activity on this thread; what it returns may still be to be awaited."""
        if not call.received.connection.alive() and self._is_stale(call):
            call.over()
            return
        item = call.received.item
        try:
            if item.problem is not None:
                self._logger.error(
                    "The work item for %s is malformed: %s",
                    call.received.subject,
                    item.problem,
                    extra=call.received.fields,
                )
                answer = _failed(item, malformed(item.problem))
            else:
                result, made = call.context.run(self._attempt, call)
                if made is None:
                    self._await(call, partial(_awaiting, call.watch, result))
                    return
                answer = made
        except BaseException as error:  # SystemExit, too: it is the activity's, not the worker's
            answer = self._raised(call, error)
        self._end(call, answer)

    def _attempt(self, call: Call) -> tuple[Any, _Answer | None]:
        """Call an activity: what is to be awaited, or else the answer."""
        result = self._called(call)
        if is_awaitable(result):
            return result, None
        return None, self._succeeded(call, result)

    def _called(self, call: Call) -> Any:
        item = call.received.item
        watch = call.watch = watched(item)
        return self._call(item) if watch is None else watch.call(self._call)

    def _is_stale(self, call: Call) -> bool:
        """Whether the stream has ended before the activity began; then it is forgotten."""
        with self._lock:
            if call.received.connection.alive():
                return False
            self._forget(call)
            return True

    def _call(self, item: _core.WorkItem) -> Any:
        return self._activities.call(
            item.instance_id,
            item.name,
            item.task_id,
            item.input,
            item.task_execution_id,
            item.propagated_history,
        )

    async def _call_async(self, call: Call) -> Any:
        result = self._called(call)
        return await _awaiting(call.watch, result)

    def _await(self, call: Call, make: Callable[[], Any]) -> None:
        try:
            self._loop.run(make, partial(self._awaited, call), call.context)
        except RuntimeError as error:
            received = call.received
            self._logger.error(
                "The event loop runs no activities any more, and %s is left unanswered: %s",
                received.subject,
                error,
                extra=received.fields,
            )
            self._leave(call)

    def _awaited(self, call: Call, result: Any, error: BaseException | None) -> None:
        """Called on the event loop when an asynchronous activity has ended."""
        if isinstance(error, CutOff):
            self._cut_off(call, error)
            return
        self._aside(call, partial(self._report_awaited, call, result, error))

    def _aside(self, call: Call, report: Callable[[], None]) -> None:
        """Do what ends in a report, on a thread that may wait for the sidecar if that takes one."""
        if call.received.connection.waits_for_reports:
            self._reporters.submit(report)
        else:
            report()

    def _cut_off(self, call: Call, error: CutOff) -> None:
        """An activity was not let come to its end: the sidecar hands it out again."""
        if call.watch is not None:
            call.watch.cut_off(error.__cause__ or error)
        if not self._stopping:
            self._logger.warning(
                "%s was cancelled from outside, as when its event loop comes to an end: it is left unanswered, and the "
                "sidecar hands it out again.",
                call.received.subject,
                extra=call.received.fields,
            )
        self._leave(call)

    def _leave(self, call: Call) -> None:
        """Forget an activity that has no answer; a stream that goes on is left early for it to be handed out again."""
        with self._lock:
            self._forget(call)
        if not self._stopping:
            self._unanswered.leave(call.received)
        call.over()

    def _report_awaited(self, call: Call, result: Any, error: BaseException | None) -> None:
        if error is None:
            try:
                answer = call.context.run(self._succeeded, call, result)
            except Exception as unwritable:
                answer = self._raised(call, unwritable)
        else:
            answer = self._raised(call, error)
        self._end(call, answer)

    # What comes of it

    def _succeeded(self, call: Call, result: Any) -> _Answer:
        item = call.received.item
        encoded = self._activities.encode(item.name, result)
        if call.watch is not None:
            call.watch.ended()
        return lambda token: _core.encode_activity_result(
            item.instance_id, item.task_id, token, encoded
        )

    def _raised(self, call: Call, error: BaseException) -> _Answer:
        item = call.received.item
        if call.watch is not None:
            # An exception that can not be told of ends the activity, too.
            with contextlib.suppress(BaseException):
                call.watch.ended(error)
        with contextlib.suppress(BaseException):  # the same
            log_failure(self._logger, item, error, self._tell_of_attempt)
        return _failed(item, failure_chain(error))

    def _end(self, call: Call, answer: _Answer) -> None:
        call.answer = answer
        self._report(call)

    def _report(self, call: Call) -> None:
        """Report the result to the newest delivery."""
        assert call.answer is not None
        received = call.received
        try:
            response = call.answer(received.item.completion_token)
        except BaseException:
            call.over()
            raise
        ended = partial(self._reported, call, received, len(response))
        self._reports.send(received, response, ended)

    def _reported(self, call: Call, received: Received, size: int, answered: bool) -> None:
        """What became of a report; a result whose stream has ended is kept."""
        dropped: list[Call] = []
        with self._lock:
            again = call.received is not received  # handed out again meanwhile
            if again:
                pass
            elif answered or self._stopping:
                self._forget(call)
            else:
                dropped = self._keep(call, size)
        if again:
            self._report(call)
            return
        if not answered:
            self._logger.info(
                "The stream of %s has ended before its result was taken; it is kept for the next delivery.",
                received.subject,
                extra=received.fields,
            )
        self._say_dropped(dropped)
        call.over()

    def _say_dropped(self, dropped: Sequence[Call]) -> None:
        for call in dropped:
            self._logger.info(
                "Dropped the result of %s: the work was not handed out here again.",
                call.received.subject,
                extra=call.received.fields,
            )

    # The rest is done under the lock.

    def _keep(self, call: Call, size: int) -> list[Call]:
        """Keep a result; returns those that there is no more room for."""
        call.size = size
        call.expires = time.monotonic() + _KEPT_SECONDS
        self._kept[call.key] = call
        self._kept_bytes += size
        dropped = []
        while self._kept_bytes > _KEPT_BYTES:
            oldest = next(iter(self._kept.values()))
            self._forget(oldest)
            dropped.append(oldest)
        return dropped

    def _take_back(self, call: Call) -> None:
        if self._kept.pop(call.key, None) is not None:
            self._kept_bytes -= call.size

    def _forget(self, call: Call) -> None:
        if self._kept:
            self._take_back(call)
        if self._calls.get(call.key) is call:
            del self._calls[call.key]


def _same(one: _core.WorkItem, other: _core.WorkItem) -> bool:
    """Whether two work items with one key are two deliveries of one activity.

    Without an execution id they may be of two generations of an orchestration, which count from 1 again each.
    """
    return (
        other.task_execution_id != ""
        and one.name == other.name
        and one.input == other.input
        and one.problem is None
        and other.problem is None
    )


def _awaiting(watch: Watch | None, awaitable: Any) -> Awaitable[Any]:
    return awaitable if watch is None else watch.awaiting(awaitable)


def _too_large(received: Received, message: str) -> bytes:
    item = received.item
    return _failed(item, [("RuntimeError", message, None, True)])(item.completion_token)


def _failed(item: _core.WorkItem, chain: Sequence[_core.FailureLink]) -> _Answer:
    return lambda token: _core.encode_activity_failure(item.instance_id, item.task_id, token, chain)
