"""What is run as `dapr.ext.workflow._durabletask.worker`: this package's worker, with the arguments of Dapr's SDK."""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from durabletask import worker as _worker
from durabletask.dapr import _install, _interceptors, _messages
from durabletask.worker import (
    ActivityNotRegisteredError,
    ConcurrencyOptions,
    OrchestratorNotRegisteredError,
    ReplayCacheOptions,
    VersionNotRegisteredException,
    _ActivityExecutor,
    _Registry,
)

__all__ = [
    "ActivityNotRegisteredError",
    "ConcurrencyOptions",
    "OrchestratorNotRegisteredError",
    "TaskHubGrpcWorker",
    "VersionNotRegisteredException",
    "_ActivityExecutor",
    "_Registry",
    "_RuntimeOrchestrationContext",
]

task: Any = importlib.import_module("dapr.ext.workflow._durabletask.task")


class _RuntimeOrchestrationContext(_worker._RuntimeOrchestrationContext):
    """The context of a workflow, with the histories that it is shown as Dapr's SDK has them."""

    def get_propagated_history(self) -> Any:
        found = self.__dict__.get("_their_history")
        if found is None:
            found = self.__dict__["_their_history"] = _messages.their_history(
                super().get_propagated_history()
            )
        return found


class TaskHubGrpcWorker(_worker.TaskHubGrpcWorker):
    """The worker, as Dapr's SDK makes one."""

    def __init__(
        self,
        *,
        host_address: str | None = None,
        metadata: Sequence[tuple[str, str]] | None = None,
        log_handler: logging.Handler | None = None,
        log_formatter: logging.Formatter | None = None,
        secure_channel: bool = False,
        interceptors: Sequence[Any] | None = None,
        concurrency_options: ConcurrencyOptions | None = None,
        channel_options: Sequence[tuple[str, Any]] | None = None,
        stop_timeout: float = 30.0,
        keepalive_interval: float = 30.0,
        disable_stateful_history: bool = False,
        history_cache_ttl: float = 0,
        history_cache_max_instances: int = 0,
        history_cache_max_bytes: int = 0,
    ):
        """Prepare a worker.

        The first ten arguments are those of `durabletask.worker.TaskHubGrpcWorker`. The `history_cache_` ones are the
        bounds of its replay cache, in seconds, workflows and bytes; 0 or less takes its defaults.
        `disable_stateful_history` switches it off.
        """
        cache = None
        if not disable_stateful_history:
            given = {
                "max_instances": history_cache_max_instances,
                "max_bytes": history_cache_max_bytes,
                "idle_timeout": history_cache_ttl,
            }
            options: dict[str, Any] = {name: value for name, value in given.items() if value > 0}
            if "idle_timeout" in options:
                options["idle_timeout"] = timedelta(seconds=options["idle_timeout"])
            cache = ReplayCacheOptions(**options)
        # Dapr's deadline is for calls that have none of their own, and all of the worker's have.
        installed, _ = _interceptors.adapted(interceptors)
        super().__init__(
            host_address=host_address,
            metadata=metadata,
            log_handler=log_handler,
            log_formatter=log_formatter,
            secure_channel=secure_channel,
            interceptors=installed,
            concurrency_options=concurrency_options,
            channel_options=channel_options,
            stop_timeout=stop_timeout,
            keepalive_interval=keepalive_interval,
            replay_cache=cache,
            semantics=_install.release().semantics,
        )
        self._registry = _Registry()

    # What programs put in the place of these is looked up when it is used.

    def _new_context(self) -> Any:
        return lambda instance_id: _RuntimeOrchestrationContext(instance_id)

    def _activity_context_class(self) -> Any:
        return task.ActivityContext

    @property
    def _async_worker_manager(self) -> Any:
        """What tests of Dapr's SDK shut down where they have started nothing."""
        return SimpleNamespace(shutdown=self.stop)

    def start(self, timeout: float = math.inf) -> None:
        """Connect, and begin to work; waits for the sidecar without an end, as Dapr's SDK does.

        Raises:
            RuntimeError: It is running already, or was stopped meanwhile.
        """
        super().start(timeout)
