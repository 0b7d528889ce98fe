"""Runs orchestrators and activities for a sidecar: `TaskHubGrpcWorker`."""

from __future__ import annotations

from durabletask import _core, task
from durabletask._worker.options import ConcurrencyOptions
from durabletask._worker.registry import (
    ActivityNotRegisteredError,
    OrchestratorNotRegisteredError,
    Registry,
    VersionNotRegisteredException,
)

__all__ = [
    "ActivityNotRegisteredError",
    "ConcurrencyOptions",
    "OrchestratorNotRegisteredError",
    "VersionNotRegisteredException",
]

# Packages built on this one look these up here under their old, underscored names.
_Registry = Registry


class _RuntimeOrchestrationContext(_core.RuntimeContext, task.OrchestrationContext):  # type: ignore[misc]
    """The context that orchestrators are given: the native one, recognized as the public class."""
