"""Runs orchestrators and activities for a sidecar: `TaskHubGrpcWorker`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from durabletask import _core, task
from durabletask._worker.activities import ActivityExecutor
from durabletask._worker.dispatcher import Dispatcher
from durabletask._worker.options import ConcurrencyOptions, ReplayCacheOptions
from durabletask._worker.registry import (
    ActivityNotRegisteredError,
    OrchestratorNotRegisteredError,
    Registry,
    VersionNotRegisteredException,
)
from durabletask._worker.run import Settings, WorkerRun
from durabletask._worker.typed import TypedOrchestrators, converting_context
from durabletask.internal import shared
from durabletask.internal.grpc_interceptor import DefaultClientInterceptorImpl

if TYPE_CHECKING:
    from typing_extensions import Self

    from durabletask.payloads import PayloadConverter

__all__ = [
    "ActivityNotRegisteredError",
    "ConcurrencyOptions",
    "OrchestratorNotRegisteredError",
    "ReplayCacheOptions",
    "TInput",
    "TOutput",
    "TaskHubGrpcWorker",
    "VersionNotRegisteredException",
]

TInput = TypeVar("TInput")
TOutput = TypeVar("TOutput")

# Packages built on this one look these up here under their old, underscored names.
_Registry = Registry
_ActivityExecutor = ActivityExecutor


class _RuntimeOrchestrationContext(_core.RuntimeContext, task.OrchestrationContext):
    """The context that orchestrators are given: the native one, recognized as the public class."""


def _context_class(converter: PayloadConverter | None) -> Any:
    """What makes the contexts of a converter; None: the class above, looked up at each turn."""
    if converter is None:
        return None
    return converting_context(lambda: _RuntimeOrchestrationContext, converter)


_DEFAULT_REPLAY_CACHE = ReplayCacheOptions()


class TaskHubGrpcWorker:
    """Takes work items from a sidecar and runs them, in threads of this process.

    Register orchestrators and activities, then `start()`; `stop()` lets what runs end first. A
    worker that was stopped can be started again. As a context manager it is stopped at the end of
    the block:

        with TaskHubGrpcWorker(host_address="localhost:4001") as worker:
            worker.add_orchestrator(greet_everyone)
            worker.add_activity(greet)
            worker.start()
            ...

    While it runs it never gives up: when the sidecar goes away, it connects again as soon as it is
    back. Every work item is answered; what the code raises is reported to the sidecar as a failure.
    """

    def __init__(
        self,
        *,
        host_address: str | None = None,
        metadata: Sequence[tuple[str, str]] | None = None,
        log_handler: logging.Handler | None = None,
        log_formatter: logging.Formatter | None = None,
        secure_channel: bool = False,
        interceptors: Sequence[shared.ClientInterceptor] | None = None,
        concurrency_options: ConcurrencyOptions | None = None,
        channel_options: Sequence[tuple[str, Any]] | None = None,
        stop_timeout: float = 30.0,
        keepalive_interval: float = 30.0,
        replay_cache: ReplayCacheOptions | None = _DEFAULT_REPLAY_CACHE,
        payload_converter: PayloadConverter | None = None,
    ):
        """Prepare a worker; nothing runs before `start()`.

        Args:
            host_address: `host:port`, with or without a scheme, or any gRPC target; None: from the
                environment, else localhost:4001.
            metadata: Added to every call.
            log_handler: Where log lines go, besides where logging sends them; None: nowhere else, and to standard
                error if the program has not set logging up.
            log_formatter: How they look.
            secure_channel: Whether to use TLS when the address has no scheme that says so.
            interceptors: gRPC interceptors; messages pass through them as bytes.
            concurrency_options: How much to do at once.
            channel_options: gRPC channel arguments, over the defaults: no transport pings, messages
                of any size.
            stop_timeout: How many seconds `stop()` waits for what runs.
            keepalive_interval: Seconds between the Hello calls that keep idle connections open and
                find dead ones; 0 or less switches them off.
            replay_cache: How many orchestrators stay alive between their turns, so that a turn costs
                what is new in it; None replays every turn from the start.
            payload_converter: Writes and reads all payloads; None: as `durabletask.payloads` says.
        """
        self._registry = _Registry()
        self._logger = shared.get_logger("worker", log_handler, log_formatter)
        self._concurrency_options = concurrency_options or ConcurrencyOptions()
        self._replay_cache = replay_cache
        self._payload_converter = payload_converter
        self._executor: _core.Executor | None = None
        chain = list(interceptors or ())
        if metadata:
            chain.append(DefaultClientInterceptorImpl(metadata))
        self._settings = Settings(
            host_address=host_address or shared.get_default_host_address(),
            secure_channel=secure_channel,
            interceptors=chain or None,
            channel_options=channel_options,
            concurrency=self._concurrency_options,
            stop_timeout=stop_timeout,
            keepalive_interval=keepalive_interval,
            stateful_history=replay_cache is not None,
        )
        self._lock = threading.RLock()  # a signal handler may call stop() at any time
        self._run: WorkerRun | None = None

    @property
    def concurrency_options(self) -> ConcurrencyOptions:
        """How much the worker does at once."""
        return self._concurrency_options

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()

    def add_orchestrator(self, fn: task.Orchestrator[TInput, Any]) -> str:
        """Register an orchestrator under its function's name, which is returned.

        Raises:
            ValueError: The name is taken, or `fn` has none.
            RuntimeError: The worker is running.
        """
        if self._run is not None:
            raise RuntimeError("Orchestrators cannot be added while the worker is running.")
        return self._registry.add_orchestrator(fn)

    def add_activity(self, fn: task.Activity[TInput, Any]) -> str:
        """Register an activity, which may be a coroutine function, under its name, and return that.

        Raises:
            ValueError: The name is taken, or `fn` has none.
            RuntimeError: The worker is running.
        """
        if self._run is not None:
            raise RuntimeError("Activities cannot be added while the worker is running.")
        return self._registry.add_activity(fn)

    def is_worker_ready(self) -> bool:
        """Whether the worker is running and its stream of work items is open."""
        run = self._run
        return run is not None and run.ready

    @property
    def replay_cache_counters(self) -> dict[str, int]:
        """`hits`, `misses` and `evictions` since the worker started; `instances` and (estimated) `bytes` now.

        Empty before the first start, and without a replay cache.
        """
        return {} if self._executor is None else self._executor.replay_cache_counters()

    def start(self, timeout: float = 10.0) -> None:
        """Connect to the sidecar and begin to work, on threads of the worker's own.

        Args:
            timeout: Seconds to wait for the connection.

        Raises:
            RuntimeError: It is running already, or there is no connection when the time is up; then
                nothing is left running.
        """
        with self._lock:
            if self._run is not None:
                raise RuntimeError("The worker is already running.")
            cache = self._replay_cache
            converter = self._payload_converter
            self._executor = _core.Executor(
                TypedOrchestrators(self._registry, converter),
                self._logger,
                _context_class(converter),
                replay_cache=None if cache is None else cache.limits,
            )
            dispatcher = Dispatcher(
                self._executor,
                ActivityExecutor(self._registry, self._logger, converter),
                self._concurrency_options,
                self._logger,
            )
            run = self._run = WorkerRun(self._settings, dispatcher, self._logger)
        address = self._settings.host_address
        self._logger.info("Starting gRPC worker that connects to %s", address)
        if run.start(timeout):
            return
        stopped = run.stopping
        self._end(run)
        if stopped:
            raise RuntimeError("The worker was stopped while it was starting.")
        raise RuntimeError(
            f"Failed to establish work item stream connection within {timeout:g} seconds: "
            f"no answer from a sidecar at {address}"
            + (f" ({run.trouble})" if run.trouble else "")
            + shared.hint_about_port(address)
        )

    def stop(self) -> None:
        """Stop taking work, wait up to `stop_timeout` seconds for what runs, and disconnect.

        Does nothing if the worker is not running. What has not ended by then is handed out again by
        the sidecar.
        """
        run = self._run
        if run is None:
            return
        self._logger.info("Stopping gRPC worker...")
        self._end(run)
        self._logger.info("Worker shutdown completed")

    def _end(self, run: WorkerRun) -> None:
        run.stop()
        with self._lock:
            if self._run is run:
                self._run = None
