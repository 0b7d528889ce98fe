"""From a work item's bytes to its answer: each one is answered, whatever is wrong with it."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import grpc

from durabletask import _core
from durabletask._transport import describe
from durabletask._worker.activities import ActivityExecutor
from durabletask._worker.connection import Connection
from durabletask._worker.failures import failure_chain
from durabletask._worker.intake import Intake, Lane
from durabletask._worker.loop import ActivityLoop
from durabletask._worker.options import ConcurrencyOptions
from durabletask._worker.pool import ThreadPool
from durabletask._worker.reports import report

# Work items that have arrived and may not begin yet. Generous, since a sidecar may take a reader
# that stops reading for dead and hand all its work out again.
_PARKED_BYTES_LIMIT = 256 * 1024 * 1024

# Seconds between two streams that are given up for turns that were left unanswered: code that ends every
# turn so must not keep everybody else from working.
_FIRST_ASK_AGAIN_PAUSE, _LONGEST_ASK_AGAIN_PAUSE = 60.0, 3600.0

# Threads that report the results of `async def` activities; the reporting call blocks.
_REPORTERS = 4


class TurnExecutor(Protocol):
    """Answers orchestrator work items."""

    def execute_work_item(
        self, item: bytes, fetch_history: Callable[[str], bytes] | None = None
    ) -> bytes:
        """The response to a serialized work item; raises if a history cannot be fetched."""

    def expire_idle(self) -> None:
        """Let go of orchestrators that have not had a turn for too long."""


class Received(NamedTuple):
    """A work item, and the connection it has to be answered on; `data` is kept for turns only."""

    connection: Connection
    item: _core.WorkItem
    data: bytes

    @property
    def subject(self) -> str:
        """What the log calls it."""
        if self.item.kind == "activity":
            return f"activity '{self.item.name}#{self.item.task_id}' of '{self.item.instance_id}'"
        return f"a turn of '{self.item.instance_id}'"


class Dispatcher:
    """Runs work items on threads and on an event loop, within the bounds of the options."""

    def __init__(
        self,
        turns: TurnExecutor,
        activities: ActivityExecutor,
        concurrency: ConcurrencyOptions,
        logger: logging.Logger,
    ):
        self._turns = turns
        self._activities = activities
        self._logger = logger
        self._stopping = False
        # The connection of a turn that was left unanswered, and when to ask for it again at the earliest.
        self._unanswered: Connection | None = None
        self._ask_again_at = 0.0
        self._ask_again_pause = _FIRST_ASK_AGAIN_PAUSE
        self._intake: Intake[Received] = Intake(_PARKED_BYTES_LIMIT)
        threads = concurrency.maximum_thread_pool_workers
        # Two pools: activities that sleep must not keep orchestrations from going on.
        self._turn_threads = ThreadPool("durabletask-orchestrator", threads, logger)
        self._activity_threads = ThreadPool("durabletask-activity", threads, logger)
        self._report_threads = ThreadPool("durabletask-report", _REPORTERS, logger)
        self._loop = ActivityLoop("durabletask-activity-loop")
        self._turn_lane: Lane[Received] = self._intake.add_lane(
            concurrency.maximum_concurrent_orchestration_work_items, self._start_turn
        )
        self._activity_lane: Lane[Received] = self._intake.add_lane(
            concurrency.maximum_concurrent_activity_work_items, self._start_activity
        )

    def dispatch(self, connection: Connection, data: bytes) -> None:
        """Take in a work item. Blocks while too much is waiting already."""
        item = _core.decode_work_item(data)
        if item.kind == "orchestrator":
            received = Received(connection, item, data)
            self._intake.admit(self._turn_lane, received, len(data))
        elif item.kind == "activity":
            received = Received(connection, item, b"")  # decoded already
            self._intake.admit(self._activity_lane, received, len(data))
        elif item.problem is not None:
            self._logger.error(
                "Dropped a work item of %d bytes that cannot be answered: %s",
                len(data),
                item.problem,
            )

    def expire_idle(self) -> None:
        """Let go of orchestrators that have not had a turn for too long; ask for unanswered turns again."""
        self._turns.expire_idle()
        self._ask_again()

    def _ask_again(self) -> None:
        """Give up the stream for the sake of turns without an answer, which are then handed out again."""
        connection, now = self._unanswered, time.monotonic()
        if connection is None or now < self._ask_again_at:
            return
        self._unanswered = None
        self._ask_again_at = now + self._ask_again_pause
        self._ask_again_pause = min(2 * self._ask_again_pause, _LONGEST_ASK_AGAIN_PAUSE)
        if connection.alive():
            connection.abandon("a turn was left unanswered")

    def drop_parked(self) -> None:
        """Forget what has not begun: its connection is lost, and the sidecar sends it again."""
        dropped = self._intake.drop_parked()
        if dropped:
            self._logger.info("Dropped %d work items that had not begun.", dropped)

    def drain(self, timeout: float) -> int:
        """Begin nothing more; wait up to `timeout` seconds for what runs. How many still run?"""
        self._intake.close()
        return self._intake.wait_idle(timeout)

    def close(self, timeout: float) -> bool:
        """End the threads; False if some still run user code after `timeout` seconds each."""
        self._stopping = True
        self._intake.close()
        pools = (self._turn_threads, self._activity_threads, self._report_threads)
        for pool in pools:
            pool.close()
        ended = [self._loop.close(timeout), *(pool.join(timeout) for pool in pools)]
        return all(ended)

    # Orchestrations

    def _start_turn(self, received: Received) -> None:
        self._turn_threads.submit(partial(self._run_turn, received))

    def _run_turn(self, received: Received) -> None:
        try:
            if not received.connection.alive():
                return
            problem = received.item.problem
            if problem is None:
                response = self._execute_turn(received)
                if response is None:
                    return
            else:
                self._logger.error(
                    "The work item for %s is malformed: %s", received.subject, problem
                )
                response = _turn_failure(received, _malformed(problem))
            self._report(received, response, _turn_failure)
        except (KeyboardInterrupt, SystemExit, MemoryError) as error:
            # Not the orchestration's end, whoever raised it: this process is to end, or has no room.
            self._unanswered = received.connection
            self._logger.exception(
                "%s was ended by %s, which says nothing about the orchestration: it is left unanswered, and "
                "the sidecar hands it out again.",
                received.subject,
                type(error).__name__,
            )
        except BaseException as error:  # a panic of the engine, too
            self._logger.exception("An error occurred while running %s", received.subject)
            response = _turn_failure(received, failure_chain(error))
            self._report(received, response, _turn_failure)
        finally:
            self._intake.done(self._turn_lane)

    def _execute_turn(self, received: Received) -> bytes | None:
        """The response; None if the past that the sidecar left out can not be had.

        Then the stream is given up: the sidecar sends its work again, with whole histories. Nothing is wrong with the
        orchestration.
        """
        connection = received.connection
        try:
            return self._turns.execute_work_item(received.data, connection.fetch_history)
        except (LookupError, grpc.RpcError, ValueError) as error:
            self._logger.warning(
                "The history for %s can not be had; asking for it anew: %s",
                received.subject,
                describe(error) if isinstance(error, grpc.RpcError) else error,
            )
            connection.abandon("a history is needed whole")
            return None

    # Activities

    def _start_activity(self, received: Received) -> None:
        item = received.item
        if item.problem is None and self._activities.is_async(item.name):
            self._loop.run(partial(self._await_call, received), partial(self._awaited, received))
        else:
            self._activity_threads.submit(partial(self._run_activity, received))

    def _run_activity(self, received: Received) -> None:
        """Run a synchronous activity on this thread; what it returns may still be to be awaited."""
        if not received.connection.alive():
            self._intake.done(self._activity_lane)
            return
        item = received.item
        try:
            if item.problem is not None:
                self._logger.error(
                    "The work item for %s is malformed: %s", received.subject, item.problem
                )
                response = _activity_failure(received, _malformed(item.problem))
            else:
                result = self._call(received)
                if inspect.isawaitable(result):
                    self._loop.run(lambda: result, partial(self._awaited, received))
                    return
                response = self._activity_result(received, result)
        except BaseException as error:  # SystemExit, too: it is the activity's, not the worker's
            response = self._activity_raised(received, error)
        self._report_activity(received, response)

    def _call(self, received: Received) -> Any:
        item = received.item
        return self._activities.call(
            item.instance_id,
            item.name,
            item.task_id,
            item.input,
            item.task_execution_id,
            item.propagated_history,
        )

    async def _await_call(self, received: Received) -> Any:
        return await self._call(received)

    def _awaited(self, received: Received, result: Any, error: BaseException | None) -> None:
        """Called on the event loop when an asynchronous activity has ended."""
        if isinstance(error, asyncio.CancelledError) and self._stopping:
            self._intake.done(self._activity_lane)  # not its end: the sidecar hands it out again
            return
        self._report_threads.submit(partial(self._report_awaited, received, result, error))

    def _report_awaited(self, received: Received, result: Any, error: BaseException | None) -> None:
        if error is None:
            try:
                response = self._activity_result(received, result)
            except Exception as unwritable:
                response = self._activity_raised(received, unwritable)
        else:
            response = self._activity_raised(received, error)
        self._report_activity(received, response)

    def _activity_result(self, received: Received, result: Any) -> bytes:
        item = received.item
        encoded = self._activities.encode(item.name, result)
        return _core.encode_activity_result(
            item.instance_id, item.task_id, item.completion_token, encoded
        )

    def _activity_raised(self, received: Received, error: BaseException) -> bytes:
        self._logger.debug("%s failed: %r", received.subject, error)
        return _activity_failure(received, failure_chain(error))

    def _report_activity(self, received: Received, response: bytes) -> None:
        try:
            self._report(received, response, _activity_failure)
        finally:
            self._intake.done(self._activity_lane)

    def _report(
        self,
        received: Received,
        response: bytes,
        failure: Callable[[Received, Sequence[_core.FailureLink]], bytes],
    ) -> None:
        report(
            received.connection,
            received.item.kind,
            response,
            too_large=lambda message: failure(received, [("RuntimeError", message, None, True)]),
            subject=received.subject,
            logger=self._logger,
        )


def _malformed(problem: str) -> list[_core.FailureLink]:
    return [("ValueError", f"The work item is malformed: {problem}", None, False)]


def _turn_failure(received: Received, chain: Sequence[_core.FailureLink]) -> bytes:
    item = received.item
    return _core.encode_orchestrator_failure(item.instance_id, item.completion_token, chain)


def _activity_failure(received: Received, chain: Sequence[_core.FailureLink]) -> bytes:
    item = received.item
    return _core.encode_activity_failure(
        item.instance_id, item.task_id, item.completion_token, chain
    )
