"""What the workers of this process do, in numbers, by OpenTelemetry's API.

Nearly all of it is counted anyway, and read only when somebody collects. An instrument exists once in a process,
whatever the number of workers; what a worker had counted when it stopped goes on counting.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from durabletask import _core
from durabletask._tracing import Guard, telemetry
from durabletask._worker.failures import name_of

if TYPE_CHECKING:
    from durabletask._worker.dispatcher import Dispatcher

_SCOPE = "durabletask.worker"

# Seconds; an activity may take a millisecond or an hour.
_DURATIONS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)

# (name, unit, description, {what a source calls it: attributes})
_Row = tuple[str, str, str, Mapping[str, Mapping[str, str]]]

_COUNTERS: tuple[_Row, ...] = (
    ("durabletask.worker.turns", "{turn}", "Turns of orchestrations", {"turns": {}}),
    (
        "durabletask.worker.events",
        "{event}",
        "Events of histories that turns had: new ones, and past ones that were replayed or that a live one knew",
        {
            "new_events": {"durabletask.event.kind": "new"},
            "replayed_events": {"durabletask.event.kind": "replayed"},
            "warm_events": {"durabletask.event.kind": "warm"},
        },
    ),
    (
        "durabletask.worker.replay_cache.lookups",
        "{lookup}",
        "Turns, but for first ones, that found their orchestrator alive (hit) or had to replay it (miss)",
        {
            "hits": {"durabletask.replay_cache.result": "hit"},
            "misses": {"durabletask.replay_cache.result": "miss"},
        },
    ),
    (
        "durabletask.worker.replay_cache.evictions",
        "{orchestration}",
        "Orchestrators let go of to keep the cache within its bounds",
        {"evictions": {}},
    ),
)

_LEVELS: tuple[_Row, ...] = (
    (
        "durabletask.worker.replay_cache.size",
        "{orchestration}",
        "Orchestrators that are alive between their turns",
        {"instances": {}},
    ),
    (
        "durabletask.worker.replay_cache.memory",
        "By",
        "What they take, by an estimate",
        {"bytes": {}},
    ),
    (
        "durabletask.worker.work_items.running",
        "{work_item}",
        "Work items in progress",
        {
            "orchestrations_running": {"durabletask.work_item.kind": "orchestration"},
            "activities_running": {"durabletask.work_item.kind": "activity"},
        },
    ),
    (
        "durabletask.worker.work_items.queued",
        "{work_item}",
        "Work items that have arrived and wait for others to end",
        {
            "orchestrations_queued": {"durabletask.work_item.kind": "orchestration"},
            "activities_queued": {"durabletask.work_item.kind": "activity"},
        },
    ),
)

_COUNTED = tuple(key for row in _COUNTERS for key in row[3])


class Source:
    """A worker that runs: what it counts, and what it has just now."""

    def __init__(self, executor: _core.Executor, dispatcher: Dispatcher):
        self._executor = executor
        self._dispatcher = dispatcher

    def numbers(self) -> Mapping[str, int]:
        """All of it, by the names of the tables above."""
        executor = self._executor
        counted = {**executor.counters(), **executor.replay_cache_counters()}
        return {**counted, **self._dispatcher.load()}


class Metrics:
    """The instruments of this process."""

    def __init__(self) -> None:
        self._durations: Any = None
        self._made = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Nothing is counted yet: at first, and in a process that was forked."""
        self._lock = threading.Lock()
        self._sources: dict[object, Source] = {}
        self._retired: dict[str, int] = dict.fromkeys(_COUNTED, 0)

    def add(self, run: object, source: Source) -> None:
        """Count in a run of a worker, which starts."""
        if telemetry(importing=True) is None:
            return
        with self._lock:
            self._sources[run] = source
            if self._made:
                return
            self._made = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin_anew)
        with Guard("making instruments"):
            self._make()

    def retire(self, run: object) -> None:
        """Keep what a run has counted, which has ended."""
        with self._lock:
            source = self._sources.pop(run, None)
            if source is not None:
                numbers = source.numbers()
                for key in _COUNTED:
                    self._retired[key] += numbers.get(key, 0)

    def activity_ended(self, name: str, seconds: float, error: BaseException | None) -> None:
        """An activity took so long, and ended with or without an error."""
        if self._durations is None:
            return
        attributes = {"durabletask.activity.name": name}
        if error is not None:
            attributes["error.type"] = name_of(error)
        with Guard("recording a duration"):
            self._durations.record(seconds, attributes)

    @property
    def times_activities(self) -> bool:
        """Whether somebody may want to know how long activities take."""
        return self._durations is not None

    def _make(self) -> None:
        from opentelemetry import metrics

        meter = metrics.get_meter(_SCOPE)
        for name, unit, description, keys in _COUNTERS:
            meter.create_observable_counter(name, [self._reader(keys)], unit, description)
        for name, unit, description, keys in _LEVELS:
            meter.create_observable_up_down_counter(name, [self._reader(keys)], unit, description)
        name = "durabletask.worker.activity.duration"
        description = "How long activities run, from their call to their result"
        try:
            self._durations = meter.create_histogram(
                name, "s", description, explicit_bucket_boundaries_advisory=_DURATIONS
            )
        except TypeError:  # older versions know no such advice
            self._durations = meter.create_histogram(name, "s", description)

    def _reader(self, keys: Mapping[str, Mapping[str, str]]) -> Callable[[Any], Iterable[Any]]:
        from opentelemetry.metrics import Observation

        def read(_options: Any) -> Iterator[Any]:
            with self._lock:
                numbers = [source.numbers() for source in self._sources.values()]
                retired = dict(self._retired)
            for key, attributes in keys.items():
                total = retired.get(key, 0) + sum(each.get(key, 0) for each in numbers)
                yield Observation(total, attributes)

        return read


METRICS = Metrics()
