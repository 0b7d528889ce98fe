"""One run of a worker, from start to stop: its connections, one after the other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from durabletask._transport import backoff_delays, describe
from durabletask._worker.choice import Transport
from durabletask._worker.connection import Connection
from durabletask._worker.connections import Connections
from durabletask._worker.dispatcher import Dispatcher
from durabletask._worker.process import NO_THREADS_AFTER_MAIN

# Seconds that the sidecar has for answering Hello, and for taking over a lost connection's place.
_HELLO_TIMEOUT = 10.0
# Pauses between attempts: with their spread, none is longer than 2 s, however long the sidecar is away.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 4 / 3
# A stream that lived so long, in seconds, was a good one: after it, pauses start from the shortest
# again.
_GOOD_STREAM = 5.0
# How often, in seconds, there is a look at what has been idle for too long, if Hello is not said more often.
_LONGEST_TICK = 30.0
# How often, in seconds, there is a look at the turns in progress.
_LOOK_AT_TURNS = 1.0
# What stop() allows, in seconds, for threads that have nothing more to do to end.
_END_OF_THREADS = 1.0


@dataclass(frozen=True)
class Settings:
    """What a worker was constructed with, as far as its connections need it."""

    host_address: str
    secure_channel: bool
    # The program's; metadata is apart from them.
    interceptors: Sequence[Any] | None
    metadata: Sequence[tuple[str, str]]
    channel_options: Sequence[tuple[str, Any]] | None
    stop_timeout: float
    keepalive_interval: float
    stateful_history: bool
    idle_timeout: float
    transport: Transport = "auto"
    # Asked at each start for what the worker tells the sidecar of itself; None: nothing.
    offer: Callable[[], Sequence[tuple[str, bytes]]] | None = None


class WorkerRun:
    """The threads of a running worker. Used for one start and one stop."""

    def __init__(self, settings: Settings, dispatcher: Dispatcher, logger: logging.Logger):
        self._settings = settings
        self._offer = () if settings.offer is None else settings.offer()
        self._connections = Connections(settings, self._is_waited_for, logger)
        self._dispatcher = dispatcher
        self._logger = logger
        self._stopping = threading.Event()
        self._ready = threading.Event()
        # Set once a stream is open, and when there will be none.
        self._settled = threading.Event()
        self._deadline: float | None = None  # once it stops
        self._connection: Connection | None = None
        self._trouble: str | None = None
        self._announce = True
        self._reader = threading.Thread(target=self._serve, name="durabletask-worker", daemon=True)
        self._keeper = threading.Thread(
            target=self._keep_alive, name="durabletask-keepalive", daemon=True
        )

    @property
    def ready(self) -> bool:
        """Whether a stream is open now."""
        return self._ready.is_set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    @property
    def trouble(self) -> str | None:
        """What the last connection failed with, if that was not long ago."""
        return self._trouble

    def start(self) -> None:
        """Start the threads."""
        self._connections.start()
        if NO_THREADS_AFTER_MAIN:
            self._dispatcher.start_all()
        self._reader.start()
        self._keeper.start()

    def wait(self, timeout: float) -> bool:
        """Wait for the first stream; False if there is none after `timeout` seconds, or after a stop."""
        self._settled.wait(min(timeout, threading.TIMEOUT_MAX))
        return self._ready.is_set()

    def begin_stop(self) -> None:
        """Take no more work. What runs has from now on the time that it has."""
        if self._deadline is None:
            longest = min(self._settings.stop_timeout, threading.TIMEOUT_MAX / 4)
            self._deadline = time.monotonic() + longest
        self._stopping.set()
        self._ready.clear()
        self._settled.set()
        self._dispatcher.close_intake()

    def runs_this(self) -> bool:
        """Whether this is called by what the worker runs, which can not end while it is waited for here."""
        return self._dispatcher.runs_this()

    def stop(self) -> bool:
        """Let what runs end and report, then end the stream and the threads. False: some of it still runs.

        May be called more than once, by several threads at a time, and by a signal handler.
        """
        self.begin_stop()
        deadline = self._deadline
        assert deadline is not None
        # The stream stays open meanwhile: when it ends, the sidecar hands out again whatever is not
        # reported.
        connection = self._connection
        if connection is not None:
            connection.hasten()
        running = self._dispatcher.drain(max(deadline - time.monotonic(), 0.0))
        connection = self._connection
        if connection is not None:
            connection.close()
        last = max(deadline, time.monotonic()) + _END_OF_THREADS
        for thread in (self._reader, self._keeper):
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(last - time.monotonic(), 0.0))
        ended = self._dispatcher.close(_END_OF_THREADS)
        self._connections.close()
        if running or not ended:
            self._logger.warning(
                "Stopped with %d work items still running after %s seconds; the sidecar hands them "
                "out again, and what they still do is lost.",
                running,
                self._settings.stop_timeout,
            )
            return False
        return True

    def _is_waited_for(self) -> bool:
        """Whether something else goes on as soon as it is known what became of results."""
        return self._stopping.is_set() or self._dispatcher.has_parked()

    # The reader's thread

    def _serve(self) -> None:
        delays = backoff_delays(_FIRST_PAUSE, _LONGEST_PAUSE)
        while not self._stopping.is_set():
            connection = None
            opened = None
            try:
                connection = self._connect()
                opened = time.monotonic()
                self._read(connection)
                reason = connection.why_abandoned or "the sidecar ended the stream"
            except Exception as error:
                abandoned = None if connection is None else connection.why_abandoned
                reason = abandoned or describe(error)
                if not isinstance(error, grpc.RpcError):
                    self._logger.debug("The stream broke unexpectedly", exc_info=True)
            finally:
                self._ready.clear()
                if connection is not None:
                    connection.finish()
            if self._stopping.is_set():
                break
            self._dispatcher.drop_parked()
            if opened is not None and time.monotonic() - opened > _GOOD_STREAM:
                delays = backoff_delays(_FIRST_PAUSE, _LONGEST_PAUSE)
                self._trouble = None
            self._note_trouble(reason, streamed=connection is not None)
            self._stopping.wait(next(delays))
        self._logger.info("Disconnected from %s", self._settings.host_address)

    def _connect(self) -> Connection:
        connection = self._connections.connect(self._offer)
        self._connection = connection
        try:
            connection.hello(_HELLO_TIMEOUT)
            connection.open_stream(*self._dispatcher.limits())
        except BaseException:
            connection.finish()
            raise
        return connection

    def _read(self, connection: Connection) -> None:
        if self._stopping.is_set():
            return
        level = logging.INFO if self._announce else logging.DEBUG
        self._logger.log(
            level, "Connected to %s; waiting for work items.", self._settings.host_address
        )
        self._ready.set()
        self._settled.set()
        for data in connection.items():
            # Once stopping, items are taken off the stream and left to the sidecar, which hands
            # them out again.
            if not self._stopping.is_set():
                self._dispatcher.dispatch(connection, data)

    def _note_trouble(self, reason: str, *, streamed: bool) -> None:
        """One line when the connection is lost or fails otherwise than before, not per attempt."""
        before = self._trouble
        same = before is not None and before.partition(":")[0] == reason.partition(":")[0]
        self._trouble = reason
        if not same:
            self._announce = True
        elif streamed:
            self._announce = False  # taken and dropped again, as before: nothing new to say
        level = logging.DEBUG if same else logging.WARNING
        self._logger.log(
            level,
            "No connection to the sidecar at %s (%s); trying again until it answers.",
            self._settings.host_address,
            reason,
        )

    # The keepalive thread

    def _keep_alive(self) -> None:
        """Say Hello now and then, let go of what has been idle, and tell of turns that do not end.

        It keeps proxies from closing an idle connection, and notices one that died in silence.
        """
        interval = self._settings.keepalive_interval
        greets = interval > 0
        timeout = min(_HELLO_TIMEOUT, max(interval, 1.0))
        tick = min(max(self._settings.idle_timeout / 2, 0.05), _LONGEST_TICK)
        tick = min(tick, interval) if greets else tick
        next_hello = time.monotonic() + interval
        next_tick = time.monotonic() + tick
        while not self._stopping.wait(min(max(next_tick - time.monotonic(), 0.0), _LOOK_AT_TURNS)):
            self._dispatcher.look_at_turns()
            if time.monotonic() < next_tick:
                continue
            next_tick = time.monotonic() + tick
            self._dispatcher.expire_idle()
            if not greets or time.monotonic() + tick / 2 < next_hello:
                continue
            next_hello = time.monotonic() + interval
            connection = self._connection
            if connection is None or not self._ready.is_set():
                continue
            failures = [error for error in self._hellos(connection, timeout) if error is not None]
            if len(failures) == 2 and connection.alive() and not self._stopping.is_set():
                connection.abandon(f"no answer to Hello: {describe(failures[-1])}")

    def _hellos(self, connection: Connection, timeout: float) -> Iterator[Exception | None]:
        """Up to two greetings: one that fails may have met a busy sidecar."""
        for _ in range(2):
            try:
                connection.hello(timeout)
            except (grpc.RpcError, ValueError) as error:
                yield error
            else:
                yield None
                return
