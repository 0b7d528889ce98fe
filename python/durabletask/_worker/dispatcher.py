"""From a work item's bytes to its answer: each one is answered, whatever is wrong with it."""

from __future__ import annotations

import contextvars
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import grpc

from durabletask import _core
from durabletask._transport import describe
from durabletask._worker.activities import ActivityExecutor
from durabletask._worker.calls import ActivityCalls, Call
from durabletask._worker.connection import Connection
from durabletask._worker.failures import failure_chain
from durabletask._worker.intake import Intake, Lane
from durabletask._worker.long_turns import LongTurns
from durabletask._worker.loop import ActivityLoop
from durabletask._worker.options import ConcurrencyOptions
from durabletask._worker.pool import ThreadPool
from durabletask._worker.received import Received, malformed
from durabletask._worker.reports import Reports
from durabletask._worker.unanswered import Unanswered

# Work items that have arrived and may not begin yet. Generous, since a sidecar may take a reader
# that stops reading for dead and hand all its work out again.
_PARKED_BYTES_LIMIT = 256 * 1024 * 1024

# How many activities of one kind may wait here while the other kind gets past them.
_PASSED_BY = 1_000

# Threads that report the results of `async def` activities on connections whose `report` waits for the sidecar.
_REPORTERS = 4


class TurnExecutor(Protocol):
    """Answers orchestrator work items."""

    def execute_work_item(
        self, item: bytes, fetch_history: Callable[[str], bytes] | None = None
    ) -> bytes:
        """The response to a serialized work item; raises if a history cannot be fetched."""

    def tell_of_attempt(
        self, instance_id: str, task_id: int, activity: str, error_type: str, now: int
    ) -> tuple[int, int, int | None] | None:
        """The number of a failed attempt, how many there are at most, and when the next one begins; None: not known."""

    def expire_idle(self) -> None:
        """Let go of orchestrators that have not had a turn for too long."""

    def clear_replay_cache(self) -> None:
        """Let go of all orchestrators."""


class Dispatcher:
    """Runs work items on threads and on an event loop, within the bounds of the options."""

    def __init__(
        self,
        turns: TurnExecutor,
        activities: ActivityExecutor,
        concurrency: ConcurrencyOptions,
        logger: logging.Logger,
        *,
        context: contextvars.Context,
        loop: ActivityLoop,
        stalls: bool = False,
    ):
        """Activities run in copies of `context`, the asynchronous ones on `loop`, which is closed with this.

        `stalls`: activities that are not registered are left to other workers.
        """
        self._turns = turns
        self._logger = logger
        self._stopping = False
        self._long_turns = LongTurns(logger)
        self._unanswered = Unanswered(logger)
        self._reports = Reports(_too_large, logger)
        self._intake = Intake(_PARKED_BYTES_LIMIT)
        threads = concurrency.maximum_thread_pool_workers
        # Two pools: activities that sleep must not keep orchestrations from going on.
        self._turn_threads = ThreadPool("durabletask-orchestrator", threads, logger)
        self._activity_threads = ThreadPool("durabletask-activity", threads, logger)
        self._report_threads = ThreadPool("durabletask-report", _REPORTERS, logger)
        self._loop = loop
        self._calls = ActivityCalls(
            activities,
            self._activity_threads,
            self._report_threads,
            loop,
            context,
            logger,
            self._unanswered,
            turns.tell_of_attempt,
            stalls=stalls,
        )
        # Three lanes: an activity that needs no thread does not queue up behind those that wait for one.
        activity_limit = concurrency.maximum_concurrent_activity_work_items
        self._turn_lane: Lane[Received] = self._intake.add_lane(
            concurrency.maximum_concurrent_orchestration_work_items, self._start_turn
        )
        self._threaded_lane: Lane[Call] = self._intake.add_lane(
            activity_limit, self._calls.start_threaded
        )
        self._awaited_lane: Lane[Call] = self._intake.add_lane(
            activity_limit, self._calls.start_awaited
        )
        self._calls.set_done(
            partial(self._intake.done, self._threaded_lane),
            partial(self._intake.done, self._awaited_lane),
        )

    def start_all(self) -> None:
        """Start all threads now, where none can be started later."""
        for pool in (self._turn_threads, self._activity_threads, self._report_threads):
            pool.start_all()
        self._loop.start()

    def limits(self) -> tuple[int, int]:
        """How many turns and how many activities the sidecar may hand out at a time.

        Sidecars know one number for all activities. Where there are two kinds, it leaves room for those of the one kind
        that wait here, so that those of the other get past them.
        """
        activities = self._threaded_lane.limit
        if self._calls.are_mixed():
            activities = 2 * activities + _PASSED_BY
        return self._turn_lane.limit, activities

    def dispatch(self, connection: Connection, data: bytes) -> None:
        """Take in a work item. Blocks while too much is waiting already."""
        item = _core.decode_work_item(data)
        kind = item.kind
        if kind == "orchestrator":
            received = Received(connection, item, data)
            self._intake.admit(self._turn_lane, received, len(data), connection.pause)
        elif kind == "activity":
            # The bytes are not kept: an activity is decoded already.
            call = self._calls.received(Received(connection, item, b""))
            if call is not None:
                lane = self._awaited_lane if self._calls.is_async(item) else self._threaded_lane
                self._intake.admit(lane, call, len(data), connection.pause)
        elif item.problem is not None:
            self._logger.error(
                "Dropped a work item of %d bytes that cannot be answered: %s",
                len(data),
                item.problem,
            )

    def has_parked(self) -> bool:
        """Whether work items wait for others to end."""
        return self._intake.has_parked

    def load(self) -> dict[str, int]:
        """How many work items of each kind are in progress, and how many wait."""
        turns, threaded = self._turn_threads.waiting, self._activity_threads.waiting
        lanes = (self._threaded_lane, self._awaited_lane)
        return {
            "orchestrations_running": max(self._turn_lane.running - turns, 0),
            "orchestrations_queued": len(self._turn_lane.parked) + turns,
            "activities_running": max(sum(lane.running for lane in lanes) - threaded, 0),
            "activities_queued": sum(len(lane.parked) for lane in lanes) + threaded,
        }

    def expire_idle(self) -> None:
        """Let go of what has been kept for too long; ask for unanswered turns again."""
        self._turns.expire_idle()
        self._calls.expire()
        self._unanswered.ask_again()

    def look_at_turns(self) -> None:
        """Tell of turns that take too long."""
        self._long_turns.look()

    def drop_parked(self) -> None:
        """Forget what has not begun: its connection is lost, and the sidecar sends it again."""
        dropped = self._intake.drop_parked()
        if dropped:
            self._logger.info("Dropped %d work items that had not begun.", dropped)

    def close_intake(self) -> None:
        """Begin nothing more."""
        self._intake.close()

    def drain(self, timeout: float) -> int:
        """Begin nothing more; wait up to `timeout` seconds for what runs. How many still run?"""
        self.close_intake()
        if self._loop.is_current() and self._awaited_lane.running:
            self._logger.warning(
                "stop() is called on the event loop that runs activities, so that they can not end meanwhile and are "
                "cancelled: use `async with worker`, or `await asyncio.to_thread(worker.stop)`."
            )
            timeout = 0.0
        return self._intake.wait_idle(timeout)

    def runs_this(self) -> bool:
        """Whether this is called by something that runs here: an orchestrator, an activity, or what writes results."""
        pools = (self._turn_threads, self._activity_threads, self._report_threads)
        return self._loop.is_in_activity() or any(pool.has_this_thread() for pool in pools)

    def close(self, timeout: float) -> bool:
        """End the threads; False if some still run user code after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        self._stopping = True
        self._calls.stop()
        self._intake.close()
        pools = (self._turn_threads, self._activity_threads, self._report_threads)
        for pool in pools:
            pool.close()
        ended = [
            self._loop.close(timeout),
            *(pool.join(deadline - time.monotonic()) for pool in pools),
        ]
        # What waits for more turns gets none here: its `finally` blocks run now, not wherever it is let go of later.
        self._turns.clear_replay_cache()
        return all(ended)

    # Orchestrations

    def _start_turn(self, received: Received) -> None:
        self._turn_threads.submit(partial(self._run_turn, received))

    def _run_turn(self, received: Received) -> None:
        response = self._answer_to(received)
        if response is None:
            self._turn_over()
        else:
            self._reports.send(received, response, partial(self._turn_reported, received))

    def _answer_to(self, received: Received) -> bytes | None:
        """Run a turn, and answer it whatever happens; None if there is to be no answer."""
        try:
            if not received.connection.alive():
                return None
            problem = received.item.problem
            if problem is None:
                return self._execute_turn(received)
            self._logger.error(
                "The work item for %s is malformed: %s",
                received.subject,
                problem,
                extra=received.fields,
            )
            return _turn_failure(received, malformed(problem))
        except (KeyboardInterrupt, SystemExit, MemoryError) as error:
            # Not the orchestration's end, whoever raised it: this process is to end, or has no room.
            self._unanswered.leave(received)
            self._logger.exception(
                "%s was ended by %s, which says nothing about the orchestration: it is left unanswered, and "
                "the sidecar hands it out again.",
                received.subject,
                type(error).__name__,
                extra=received.fields,
            )
            return None
        except BaseException as error:  # a panic of the engine, too
            self._logger.exception(
                "An error occurred while running %s", received.subject, extra=received.fields
            )
            return _turn_failure(received, failure_chain(error))

    def _execute_turn(self, received: Received) -> bytes | None:
        """The response; None if there is to be none.

        If the past that the sidecar left out can not be had, the stream is given up: the sidecar sends its work again,
        with whole histories. Nothing is wrong with the orchestration.
        """
        connection = received.connection
        self._long_turns.begin(received.item.instance_id)
        try:
            return self._turns.execute_work_item(received.data, connection.fetch_history)
        except _core.Stalled as stalled:
            return self._unanswered.stall(received, stalled)
        except (LookupError, grpc.RpcError, ValueError) as error:
            self._logger.warning(
                "The history for %s can not be had; asking for it anew: %s",
                received.subject,
                describe(error) if isinstance(error, grpc.RpcError) else error,
                extra=received.fields,
            )
            connection.abandon("a history is needed whole")
            return None
        finally:
            self._long_turns.end()

    def _turn_reported(self, received: Received, answered: bool) -> None:
        try:
            if not answered:
                self._logger.info(
                    "Dropped the result of %s: its stream has ended, and the sidecar hands the work out again.",
                    received.subject,
                    extra=received.fields,
                )
        finally:
            self._turn_over()

    def _turn_over(self) -> None:
        if self._stopping:  # too late for `close` to see
            self._turns.clear_replay_cache()
        self._intake.done(self._turn_lane)


def _too_large(received: Received, message: str) -> bytes:
    return _turn_failure(received, [("RuntimeError", message, None, True)])


def _turn_failure(received: Received, chain: Sequence[_core.FailureLink]) -> bytes:
    item = received.item
    return _core.encode_orchestrator_failure(item.instance_id, item.completion_token, chain)
