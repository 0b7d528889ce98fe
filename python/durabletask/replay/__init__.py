"""Replay without a sidecar: recorded requests in, responses out.

A worker answers every work item by replaying its history; `Replayer` is that step alone, for tests, for tools, and for
measuring it. `Replayer.check` says whether recorded histories still replay with today's code: in a test, or, with
`durabletask replay`, from a shell.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from durabletask import _core
from durabletask._worker.typed import TypedOrchestrators
from durabletask.internal import shared
from durabletask.replay._check import CheckReport, CheckResult, CheckStatus, History, check
from durabletask.replay._files import HistoryFormatError, export_history, history_bytes, read

if TYPE_CHECKING:
    from durabletask._worker.options import Semantics
    from durabletask.payloads import PayloadConverter
    from durabletask.task import Orchestrator
    from durabletask.worker import ReplayCacheOptions, TaskHubGrpcWorker

__all__ = [
    "CheckReport",
    "CheckResult",
    "CheckStatus",
    "History",
    "HistoryFormatError",
    "Replayer",
    "export_history",
    "history_bytes",
]


class Replayer:
    """Answers orchestrator requests with the given orchestrators.

    Args:
        orchestrators: Functions, registered under their names.
        replay_cache: What orchestrators are kept alive between turns, so that a turn costs what is new in it; None
            replays every turn from the start.
        payload_converter: Writes and reads all payloads; None: as `durabletask.payloads` says.
        typed_payloads: Whether orchestrators receive their inputs as the types that they declare, as with a worker.
        semantics: The release whose decisions are followed; see `TaskHubGrpcWorker`.

    Raises:
        ValueError: Two of them have the same name, or one has none; or there are no such semantics.
    """

    def __init__(
        self,
        orchestrators: Iterable[Orchestrator[Any, Any]] = (),
        *,
        replay_cache: ReplayCacheOptions | None = None,
        payload_converter: PayloadConverter | None = None,
        typed_payloads: bool = False,
        semantics: Semantics = "0.17",
    ) -> None:
        from durabletask.worker import _context_class, _Registry

        registry = _Registry()
        for orchestrator in orchestrators:
            registry.add_orchestrator(orchestrator)
        typed = TypedOrchestrators(registry, payload_converter, typed_payloads)
        self._use(typed, _context_class(payload_converter), replay_cache, semantics)

    def _use(
        self,
        registry: TypedOrchestrators,
        new_context: Any,
        replay_cache: ReplayCacheOptions | None,
        semantics: Semantics,
    ) -> None:
        self._registry, self._new_context = registry, new_context
        self._replay_cache, self._semantics = replay_cache, semantics
        self._executor = _core.Executor(
            registry,
            shared.get_logger("replay"),
            new_context,
            replay_cache=None if replay_cache is None else replay_cache.limits,
            semantics=semantics,
        )

    @classmethod
    def from_worker(
        cls,
        worker: TaskHubGrpcWorker,
        *,
        replay_cache: ReplayCacheOptions | None = None,
        semantics: Semantics | None = None,
    ) -> Replayer:
        """A replayer with all that is registered with `worker`, names, versions and how it reads payloads included.

        It follows the `semantics` of the worker, unless others are given.
        """
        replayer = cls.__new__(cls)
        converter, typed = worker._payload_converter, worker._typed_payloads
        registry = TypedOrchestrators(worker._registry, converter, typed)
        replayer._use(registry, worker._new_context(), replay_cache, semantics or worker._semantics)
        return replayer

    def following(self, semantics: Semantics) -> Replayer:
        """Another replayer with the same registrations, which follows another release.

        Raises:
            ValueError: There are no such semantics.
        """
        replayer = type(self).__new__(type(self))
        replayer._use(self._registry, self._new_context, self._replay_cache, semantics)
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

    def check(self, history: History) -> CheckResult:
        """Does today's code still do what a recorded history says?

        Everything that was committed must be met: each call that the history confirms is made, under its id, of its
        kind and by its name; each call that is made is confirmed in the turn that makes it; the code ends where the
        history does, and with the same status (and failure). Arguments and results may differ: they are data. A turn is
        checked up to its new events; what it asks for after those is open. It does not hold its answer, so that code
        which raises there is reported though it may have done so then.

        Args:
            history: A `GetInstanceHistoryResponse`, or the `WorkItem` or `OrchestratorRequest` of one turn with its
                whole past, as bytes; what `durabletask history export` writes, as a text, bytes, or the dict in it; a
                path (`pathlib.Path`) of a file with any of these.

        Returns:
            What came out of it. Code that raises is a result too: `CheckStatus.FAILED`, unless the history ends with
            the same failure. An exported history of an instance that has not begun yet has nothing to replay and is ok.

        Raises:
            HistoryFormatError: It is no history; says at which byte.
            OSError: The file can not be read.
            TypeError: It is none of these forms.
        """
        data, source = read(history)
        if not data and not _is_raw(history, source):
            return CheckResult(CheckStatus.OK, source=source)
        try:
            return check(self._registry, data, source, self._semantics)
        except HistoryFormatError as error:
            if source is None:
                raise
            raise error.within(source) from None

    def check_all(self, histories: Iterable[History]) -> CheckReport:
        """Checks one history after the other.

        One that can not be read is reported as `CheckStatus.UNREADABLE`, and keeps none of the others from being
        checked.
        Only one is in memory at a time if `histories` is lazy, or made of paths.
        """
        return CheckReport(tuple(self.iter_check(histories)))

    def iter_check(self, histories: Iterable[History]) -> Iterator[CheckResult]:
        """The same, each result as soon as it is known."""
        for history in histories:
            source = os.fspath(history) if isinstance(history, os.PathLike) else None
            try:
                yield self.check(history)
            except HistoryFormatError as error:
                yield CheckResult(CheckStatus.UNREADABLE, str(error), source=source)
            except OSError as error:
                yield CheckResult(
                    CheckStatus.UNREADABLE, f"{source}: {error.strerror or error}", source=source
                )


def _is_raw(history: History, source: str | None) -> bool:
    """Whether no bytes are no history, as opposed to an exported history without events."""
    if source is not None:
        return Path(source).stat().st_size == 0
    return isinstance(history, (bytes, bytearray, memoryview)) and not history
