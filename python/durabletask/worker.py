"""Runs orchestrators and activities for a sidecar: `TaskHubGrpcWorker`."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import importlib
import logging
import math
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from durabletask import _core, task
from durabletask._interceptors import adapted
from durabletask._logging import GuardedLogger
from durabletask._tracing import telemetry
from durabletask._transport import with_api_token
from durabletask._worker import foreground, process
from durabletask._worker.activities import ActivityExecutor
from durabletask._worker.choice import known_transport
from durabletask._worker.connection import offer_of
from durabletask._worker.dispatcher import Dispatcher
from durabletask._worker.loop import ActivityLoop
from durabletask._worker.metrics import METRICS, Source
from durabletask._worker.options import (
    ConcurrencyOptions,
    ReplayCacheOptions,
    Semantics,
    known_semantics,
    seconds,
)
from durabletask._worker.registry import (
    ActivityNotRegisteredError,
    OrchestratorNotRegisteredError,
    Registry,
    VersionNotRegisteredException,
)
from durabletask._worker.run import Settings, WorkerRun
from durabletask._worker.tracing import OrchestrationSpans, tracer
from durabletask._worker.typed import TypedOrchestrators, converting_context
from durabletask.internal import shared

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
_Function = TypeVar("_Function", bound="Callable[..., Any]")

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

    A program that is nothing but a worker ends with `worker.run()`, or `await worker.serve()`. One that ends with
    `worker.start()` goes on serving until Ctrl-C or SIGTERM, too; then what runs may end.

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
        typed_payloads: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        semantics: Semantics = "0.17",
        on_mismatch: Literal["fail", "stall"] = "fail",
        transport: Literal["auto", "native", "grpcio"] = "auto",
    ):
        """Prepare a worker; nothing runs before `start()`.

        Args:
            host_address: `host:port`, with or without a scheme, or any gRPC target; None: from the
                environment, else localhost:4001.
            metadata: Added to every call. Without a `dapr-api-token` of its own, so is the one in the
                environment variable DAPR_API_TOKEN.
            log_handler: Where log lines go, besides where logging sends them; None: nowhere else, and to standard
                error if the program has not set logging up.
            log_formatter: How they look.
            secure_channel: Whether to use TLS when the address has no scheme that says so.
            interceptors: gRPC interceptors; they see messages if protobuf is installed, and else bytes.
            concurrency_options: How much to do at once.
            channel_options: gRPC channel arguments, over the defaults: no transport pings, messages
                of any size.
            stop_timeout: How many seconds `stop()` waits for what runs.
            keepalive_interval: Seconds between the Hello calls that keep idle connections open and
                find dead ones; 0 or less switches them off.
            replay_cache: How many orchestrators stay alive between their turns, so that a turn costs
                what is new in it; None replays every turn from the start.
            payload_converter: Writes and reads all payloads; None: as `durabletask.payloads` says.
            typed_payloads: Whether orchestrators and activities receive their inputs as the types that
                they declare, as `durabletask.payloads` says. For new programs; those from 0.17 receive
                what they did there as long as it is not set.
            loop: Runs `async def` activities, so that they may use what belongs to the program's own
                event loop; None: a loop on a thread of the worker's.
            semantics: The release whose decisions orchestrations follow where releases decide differently, which is the
                one that they were begun with. "0.17" is durabletask-dapr's; "dapr-1.18" and "dapr-1.19" those of the
                engine inside Dapr's SDK: every wait for an external event has a timer, `retry_timeout` bounds the sum
                of the pauses, and in 1.19 `when_all` waits for all its tasks before it fails.
            on_mismatch: What happens to an instance that the code here does not fit, because the code
                was changed, or because the orchestrator, its version or an activity is not registered:
                "fail" fails it; "stall" leaves it, after an ERROR in the log, to a worker that fits. Then
                the worker also tells the sidecar what it has, and the embedded one hands out accordingly.
            transport: What carries calls: "native", the package's own, which costs a worker a fraction of what "grpcio"
                does; "auto" is what the environment variable DURABLETASK_TRANSPORT names, and without it grpcio.
                With "native" from there, grpcio still serves what it alone can do: interceptors, channel options
                of gRPC's, proxies, instrumented or replaced channels, addresses that are not of the form host:port.

        Raises:
            TypeError: stop_timeout or keepalive_interval is no number.
            ValueError: One of them is NaN, on_mismatch or transport is something else, or there are no such semantics.
        """
        self._semantics = known_semantics(semantics)
        if on_mismatch not in ("fail", "stall"):
            raise ValueError(f'on_mismatch must be "fail" or "stall", not {on_mismatch!r}')
        self._registry = _Registry()
        self._logger = GuardedLogger(shared.get_logger("worker", log_handler, log_formatter))
        self._concurrency_options = concurrency_options or ConcurrencyOptions()
        self._replay_cache = replay_cache
        self._payload_converter = payload_converter
        self._typed_payloads = typed_payloads
        self._executor: _core.Executor | None = None
        self._settings = Settings(
            host_address=host_address or shared.get_default_host_address(),
            secure_channel=secure_channel,
            interceptors=adapted(interceptors) or None,
            metadata=with_api_token(metadata),
            channel_options=channel_options,
            stop_timeout=seconds("stop_timeout", stop_timeout),
            keepalive_interval=seconds("keepalive_interval", keepalive_interval),
            stateful_history=replay_cache is not None,
            idle_timeout=math.inf if replay_cache is None else replay_cache.limits[2],
            transport=known_transport(transport),
            offer=self._offer if on_mismatch == "stall" else None,
        )
        self._on_mismatch: Literal["fail", "stall"] = on_mismatch
        self._loop = loop
        self._lock = threading.RLock()  # a signal handler may call stop() at any time
        self._run: WorkerRun | None = None
        self._watchers: list[Callable[[], object]] = []  # called when a run has ended

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

    async def __aenter__(self) -> Self:
        """Start it, without waiting for the sidecar: see `is_worker_ready`."""
        self._begin()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Stop it, while the event loop goes on."""
        await asyncio.shield(foreground.on_a_thread(self.stop))

    def add_orchestrator(
        self,
        fn: task.Orchestrator[TInput, Any],
        *,
        name: str | None = None,
        version: str | None = None,
        is_latest: bool = False,
    ) -> str:
        """Register an orchestrator, and return the name under which it is called.

        Args:
            fn: The function.
            name: Its name; None: the function's own.
            version: Which version of the name this is. Instances go on with the version that they began with.
            is_latest: Whether new instances run this version.

        Raises:
            ValueError: The name or the version is taken, or there is none; or `is_latest` without a version.
            RuntimeError: The worker is running.
        """
        if self._run is not None:
            raise RuntimeError("Orchestrators cannot be added while the worker is running.")
        if is_latest and version is None:
            raise ValueError("is_latest says which version new instances run: it needs a version.")
        return self._registry.add_orchestrator(fn, version, is_latest, name)

    def add_activity(self, fn: task.Activity[TInput, Any], *, name: str | None = None) -> str:
        """Register an activity, which may be a coroutine function, and return the name under which it is called.

        Args:
            fn: The function.
            name: Its name; None: the function's own.

        Raises:
            ValueError: The name is taken, or there is none.
            RuntimeError: The worker is running.
        """
        if self._run is not None:
            raise RuntimeError("Activities cannot be added while the worker is running.")
        return self._registry.add_activity(fn, name)

    @overload
    def orchestrator(self, fn: _Function, /) -> _Function: ...
    @overload
    def orchestrator(
        self, /, *, name: str | None = None, version: str | None = None, is_latest: bool = False
    ) -> Callable[[_Function], _Function]: ...
    def orchestrator(
        self,
        fn: Any = None,
        /,
        *,
        name: str | None = None,
        version: str | None = None,
        is_latest: bool = False,
    ) -> Any:
        """Register the decorated orchestrator, which stays what it is; arguments and errors are `add_orchestrator`'s.

        @worker.orchestrator
        def greet(ctx, name): ...

        @worker.orchestrator(name="order", version="v2", is_latest=True)
        def order_v2(ctx, order): ...
        """

        def register(function: _Function) -> _Function:
            self.add_orchestrator(function, name=name, version=version, is_latest=is_latest)
            return function

        return _decorated(fn, register, "orchestrator")

    @overload
    def activity(self, fn: _Function, /) -> _Function: ...
    @overload
    def activity(self, /, *, name: str | None = None) -> Callable[[_Function], _Function]: ...
    def activity(self, fn: Any = None, /, *, name: str | None = None) -> Any:
        """Register the decorated activity, which stays what it is; arguments and errors are `add_activity`'s.

        @worker.activity
        async def charge(ctx, order): ...
        """

        def register(function: _Function) -> _Function:
            self.add_activity(function, name=name)
            return function

        return _decorated(fn, register, "activity")

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
            timeout: Seconds to wait for the connection, `math.inf` for without end.

        Raises:
            RuntimeError: It is running already, or there is no connection when the time is up; then
                nothing is left running.
            TypeError: timeout is no number.
            ValueError: It is negative, NaN, or no float can be so large.
        """
        timeout = seconds("timeout", timeout, least=0.0)
        run = self._begin()
        try:
            if run.wait(timeout):
                return
            stopped = run.stopping
        except BaseException:  # Ctrl-C
            self._end(run)
            raise
        self._end(run)
        if stopped:
            raise RuntimeError("The worker was stopped while it was starting.")
        address = self._settings.host_address
        raise RuntimeError(
            f"Failed to establish work item stream connection within {timeout:g} seconds: "
            f"no answer from a sidecar at {address}"
            + (f" ({run.trouble})" if run.trouble else "")
            + shared.hint_about_port(address)
        )

    def run(self) -> int:
        """Work until SIGINT (Ctrl-C) or SIGTERM, then let what runs end; a second signal ends the process at once.

        For the main thread of a program that is nothing but a worker: `sys.exit(worker.run())`. It waits for the
        sidecar as long as it takes. In other threads, where signals do not arrive, it works until `stop()`.

        Returns:
            The exit code: 0 if all that ran has ended, 1 if some of it still ran after `stop_timeout`.

        Raises:
            RuntimeError: It is running already.
        """
        return foreground.run(self)

    async def serve(self) -> int:
        """What `run()` does, inside a running event loop. Cancelling it lets what runs end, too.

        Returns:
            The exit code: 0 if all that ran has ended, 1 if some of it still ran after `stop_timeout`.

        Raises:
            RuntimeError: It is running already.
        """
        return await foreground.serve(self)

    # For workers that stand in the place of another package's.

    def _new_context(self) -> Any:
        """What makes contexts from instance ids; None: the class that this module has, at each turn."""
        return _context_class(self._payload_converter)

    def _activity_context_class(self) -> Any:
        return task.ActivityContext

    def stop(self) -> None:
        """Stop taking work, wait up to `stop_timeout` seconds for what runs, and disconnect.

        Does nothing if the worker is not running. What has not ended by then is handed out again by
        the sidecar.

        Called by an activity or an orchestrator of this worker, it does not wait, since that has to end, too: no more
        work is taken, and the worker stops once what runs has reported its results.
        """
        run = self._run
        if run is None:
            return
        if run.runs_this():
            already = run.stopping
            run.begin_stop()
            if not already:
                self._stop_elsewhere(run)
            return
        self._finish(run)

    def _finish(self, run: WorkerRun) -> None:
        self._logger.info("Stopping gRPC worker...")
        self._end(run)
        self._logger.info("Worker shutdown completed")

    def _stop_elsewhere(self, run: WorkerRun) -> None:
        threading.Thread(
            target=self._finish, args=(run,), name="durabletask-stop", daemon=True
        ).start()

    def _keeps_the_program(self) -> bool:
        """Whether it can do what it is for: called by `_worker.process`, of no use to programs."""
        return self._loop is None or not self._loop.is_closed()

    def _begin_stop(self) -> None:
        """Take no more work: called by `_worker.process`, of no use to programs."""
        run = self._run
        if run is not None:
            run.begin_stop()

    def _begin(self) -> WorkerRun:
        with self._lock:
            if self._run is not None:
                raise RuntimeError("The worker is already running.")
            if why_not := process.why_not_after_fork():
                raise RuntimeError(why_not)
            process.prepare()
            cache = self._replay_cache
            converter = self._payload_converter
            # Every execution and every activity begins with what is set here and now.
            context = contextvars.copy_context()
            self._executor = _core.Executor(
                TypedOrchestrators(self._registry, converter, self._typed_payloads),
                self._logger,
                self._new_context(),
                replay_cache=None if cache is None else cache.limits,
                context=context,
                semantics=self._semantics,
                spans=None if telemetry(importing=True) is None else OrchestrationSpans(),
                on_mismatch=self._on_mismatch,
            )
            dispatcher = Dispatcher(
                self._executor,
                ActivityExecutor(
                    self._registry,
                    self._logger,
                    converter,
                    self._typed_payloads,
                    self._activity_context_class,
                ),
                self._concurrency_options,
                self._logger,
                context=context,
                loop=ActivityLoop("durabletask-activity-loop", self._loop),
                stalls=self._on_mismatch == "stall",
            )
            run = self._run = WorkerRun(self._settings, dispatcher, self._logger)
            METRICS.add(run, Source(self._executor, dispatcher))
            process.enter(self, self._logger)
        try:
            self._logger.info(
                "Starting gRPC worker that connects to %s", self._settings.host_address
            )
            run.start()
        except BaseException:
            self._end(run)
            raise
        return run

    def _offer(self) -> list[tuple[str, bytes]]:
        return offer_of(*self._registry.offer())

    def _end(self, run: WorkerRun) -> bool:
        try:
            return run.stop()
        finally:
            with self._lock:
                if self._run is run:
                    self._run = None
                    process.leave(self)
            METRICS.retire(run)
            for watcher in self._watchers:
                watcher()

    def _connect_to(self, address: str) -> None:
        """Use another sidecar from the next start on: for the command line, which has the last word.

        Raises:
            RuntimeError: The worker is running.
        """
        if self._run is not None:
            raise RuntimeError("The worker is already running.")
        self._settings = dataclasses.replace(self._settings, host_address=address)

    def _forget_parent(self) -> Any:
        """Be new, in a process that was forked: called by `_worker.process`, of no use to programs."""
        inherited = None if self._run is None else (self._run, self._executor)
        self._lock, self._run, self._executor = threading.RLock(), None, None
        self._watchers = []
        return inherited


def _decorated(fn: Any, register: Callable[[Any], Any], kind: str) -> Any:
    if fn is None:
        return register
    if not callable(fn):
        raise TypeError(
            f"@worker.{kind} takes a function, or keyword arguments as in @worker.{kind}(name=...); found {fn!r}"
        )
    return register(fn)


if TYPE_CHECKING:
    _OrchestrationExecutor: Any
    ExecutionResults: Any
    otel_tracer: Any
else:
    _OF_MESSAGES = ("ExecutionResults", "_OrchestrationExecutor")

    def __getattr__(name: str) -> Any:
        """Names of 0.17 that are looked for only when asked for, since they cost something to have.

        `otel_tracer`: a tracer, or None without OpenTelemetry; and its executor of protobuf messages.
        """
        if name == "otel_tracer":
            return tracer()
        if name in _OF_MESSAGES:
            module = importlib.import_module("durabletask._worker.messages_executor")
            return getattr(module, name.lstrip("_"))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
