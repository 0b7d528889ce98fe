"""How much a worker does at once, and what it keeps for later."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal


class ConcurrencyOptions:
    """Bounds on the work items a worker holds at a time, and on its threads.

    The worker stops reading from the sidecar when it has reached its bounds, so that its memory is
    bounded too.
    """

    def __init__(
        self,
        maximum_concurrent_activity_work_items: int | None = None,
        maximum_concurrent_orchestration_work_items: int | None = None,
        maximum_thread_pool_workers: int | None = None,
    ):
        """Set bounds; None takes the default.

        Args:
            maximum_concurrent_activity_work_items: Activities in progress, `async def` activities and
                others counted apart, so that neither waits for the other; 100 for each processor.
                `async def` activities reach it on one event loop, others need a thread each.
            maximum_concurrent_orchestration_work_items: Orchestrator turns in progress; 100 for
                each processor.
            maximum_thread_pool_workers: Threads for activities, and as many for orchestrator turns,
                started when needed; the number of processors and 4.

        Processors are those that this process may use, by its affinity and by the quota of its container.

        Raises:
            ValueError: A bound is less than 1.

        """
        processors = usable_processors()
        self.maximum_concurrent_activity_work_items = _bound(
            "maximum_concurrent_activity_work_items",
            maximum_concurrent_activity_work_items,
            100 * processors,
        )
        self.maximum_concurrent_orchestration_work_items = _bound(
            "maximum_concurrent_orchestration_work_items",
            maximum_concurrent_orchestration_work_items,
            100 * processors,
        )
        self.maximum_thread_pool_workers = _bound(
            "maximum_thread_pool_workers", maximum_thread_pool_workers, processors + 4
        )


@dataclass(frozen=True)
class ReplayCacheOptions:
    """Bounds on the orchestrators that a worker keeps alive between their turns.

    An orchestrator that is alive goes on with what is new in a turn; one that is not is run again from the
    beginning of its history. Which of the two happens makes no difference to what it does. When a bound is
    reached, the orchestrators that have been idle longest go first.

    Attributes:
        max_instances: How many at most.
        max_bytes: How many bytes at most, by an estimate of what their variables and their state take.
        idle_timeout: How long one may go without a turn; a number means seconds.

    Raises:
        ValueError: A bound is negative.
    """

    max_instances: int = 10_000
    max_bytes: int = 256 * 1024 * 1024
    idle_timeout: timedelta | float = 600.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        for name, value in (
            ("max_instances", self.max_instances),
            ("max_bytes", self.max_bytes),
            ("idle_timeout", self.limits[2]),
        ):
            if value < 0:
                raise ValueError(f"{name} must be >= 0, not {value}")

    @property
    def limits(self) -> tuple[int, int, float]:
        """The bounds as the native cache takes them: instances, bytes, seconds."""
        idle = self.idle_timeout
        seconds = idle.total_seconds() if isinstance(idle, timedelta) else float(idle)
        return self.max_instances, self.max_bytes, seconds


Semantics = Literal["0.17", "dapr-1.18", "dapr-1.19"]
SEMANTICS: tuple[Semantics, ...] = ("0.17", "dapr-1.18", "dapr-1.19")


def known_semantics(name: Any) -> Semantics:
    """The name of a release whose decisions can be followed.

    Raises:
        ValueError: It is none.
    """
    for known in SEMANTICS:
        if name == known:
            return known
    names = ", ".join(map(repr, SEMANTICS))
    raise ValueError(f"semantics must be one of {names}; found {name!r}")


def seconds(name: str, value: Any, *, least: float = -math.inf) -> float:
    """A number of seconds, `inf` for without end.

    Raises:
        TypeError: It is no number.
        ValueError: It is NaN, or less than it may be.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(
            f"{name} must be a number of seconds, at most {sys.float_info.max:g} or else math.inf"
        ) from None
    if math.isnan(number) or number < least:
        raise ValueError(f"{name} must be a number of seconds, {least:g} or more, not {value!r}")
    return number


def usable_processors(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processors this process may use at a time, by its affinity and by the quotas of its cgroups."""
    if sys.platform == "linux":
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    for quota in _quotas(proc, cgroups):
        processors = min(processors, math.ceil(quota))
    return max(processors, 1)


def _quotas(proc: Path, cgroups: Path) -> list[float]:
    """The processors that each cgroup on the way to this process allows, of version 2 and of version 1."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return []
    quotas = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            mounts = [cgroups, cgroups / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [cgroups / controllers, cgroups / "cpu"]
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for mount in mounts:
            # A container may see its own cgroup as the root, under a path that exists outside only.
            for depth in range(len(parts) + 1):
                quotas.append(_quota(mount.joinpath(*parts[:depth])))
    return [quota for quota in quotas if quota is not None]


def _quota(cgroup: Path) -> float | None:
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota = (cgroup / "cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu.cfs_period_us").read_text()
        allowed = float(quota) / float(period)  # "max", and -1, are none
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return allowed if allowed > 0 else None


def _bound(name: str, value: int | None, default: int) -> int:
    if value is None:
        return default
    if value < 1:
        raise ValueError(
            f"{name} must be >= 1, not {value}: a worker that may run nothing would hang"
        )
    return value
