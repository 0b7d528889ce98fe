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
    from durabletask.worker import ReplayCacheOptions, TaskHubGrpcWorker

__all__ = ["Replayer"]


class Replayer:
    """Answers orchestrator requests with the given orchestrators.

    Args:
        orchestrators: Functions, registered under their names.
        replay_cache: What orchestrators are kept alive between turns, so that a turn costs what is new in it; None
            replays every turn from the start.

    Raises:
        ValueError: Two of them have the same name, or one has none.
    """

    def __init__(
        self,
        orchestrators: Iterable[Orchestrator[Any, Any]] = (),
        *,
        replay_cache: ReplayCacheOptions | None = None,
    ) -> None:
        from durabletask.worker import _Registry

        registry = _Registry()
        for orchestrator in orchestrators:
            registry.add_orchestrator(orchestrator)
        self._use(registry, replay_cache)

    def _use(self, registry: Any, replay_cache: ReplayCacheOptions | None) -> None:
        self._executor = _core.Executor(
            registry,
            logging.getLogger("durabletask-replay"),
            replay_cache=None if replay_cache is None else replay_cache.limits,
        )

    @classmethod
    def from_worker(
        cls, worker: TaskHubGrpcWorker, *, replay_cache: ReplayCacheOptions | None = None
    ) -> Replayer:
        """A replayer with all that is registered with `worker`, names and versions included."""
        replayer = cls.__new__(cls)
        replayer._use(worker._registry, replay_cache)
        return replayer

    @property
    def replay_cache_counters(self) -> dict[str, int]:
        """`hits`, `misses`, `evictions` so far; `instances` and (estimated) `bytes` now.

        Empty without a replay cache.
        """
        return self._executor.replay_cache_counters()

    def execute(self, request: bytes) -> bytes:
        """Play one turn.

        Args:
            request: a serialized `OrchestratorRequest`.

        Returns:
            A serialized `OrchestratorResponse`. It never raises for what the request holds: a request that can not be
            read is answered with a FAILED completion under action id -1 that says what is wrong and where.

        Raises:
            LookupError: The request leaves out a past (`cachedHistory`) that this replayer has not seen.
        """
        return self._executor.execute(request)
