"""Replay without a sidecar: recorded requests in, responses out.

A worker answers every work item by replaying its history; `Replayer` is that step alone, for tests, for tools, and for
measuring it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from durabletask import _core

if TYPE_CHECKING:
    from durabletask.task import Orchestrator
    from durabletask.worker import TaskHubGrpcWorker

__all__ = ["Replayer"]


class Replayer:
    """Answers orchestrator requests with the given orchestrators.

    Args:
        orchestrators: functions, registered under their names.

    Raises:
        ValueError: if two of them have the same name, or one has none.
    """

    def __init__(self, orchestrators: Iterable[Orchestrator[Any, Any]] = ()) -> None:
        from durabletask.worker import _Registry

        registry = _Registry()
        for orchestrator in orchestrators:
            registry.add_orchestrator(orchestrator)
        self._use(registry)

    def _use(self, registry: Any) -> None:
        self._executor = _core.Executor(registry, logging.getLogger("durabletask-replay"))

    @classmethod
    def from_worker(cls, worker: TaskHubGrpcWorker) -> Replayer:
        """A replayer with all that is registered with `worker`, names and versions included."""
        replayer = cls.__new__(cls)
        replayer._use(worker._registry)
        return replayer

    def execute(self, request: bytes) -> bytes:
        """Play one turn.

        Args:
            request: a serialized `OrchestratorRequest`.

        Returns:
            A serialized `OrchestratorResponse`. It never raises for what the request holds: a request that can not be
            read is answered with a FAILED completion under action id -1 that says what is wrong and where.
        """
        return self._executor.execute(request)
