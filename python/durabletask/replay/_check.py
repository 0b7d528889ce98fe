"""Checks: does today's code do what a recorded history says?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from durabletask import _core, _source_lines
from durabletask._worker.typed import TypedOrchestrators, converting_context

#: `GetInstanceHistoryResponse`, `OrchestratorRequest` or `WorkItem` as bytes; an exported history as JSON text (`str`
#: or bytes) or as the dict that this holds; a file with any of them.
History: TypeAlias = "bytes | str | Mapping[str, Any] | os.PathLike[str]"

_CALLS = (
    "call_activity",
    "call_sub_orchestrator",
    "create_timer",
    "send_event",
    "wait_for_external_event",
)


class CheckStatus(Enum):
    """What came out of checking one history."""

    OK = "ok"
    """The code does what the history says, and ends as it does."""
    NON_DETERMINISTIC = "non-deterministic"
    """The code does something else, or ends where the history goes on."""
    FAILED = "failed"
    """The code raised an exception that the history does not know of."""
    UNREADABLE = "unreadable"
    """It is no history, so nothing is known about the code."""


@dataclass(frozen=True)
class CheckResult:
    """What came out of checking one history.

    Attributes:
        status: How it went.
        message: What is wrong, with everything that is known about it; "" if nothing is.
        instance_id: Of the instance whose history it is; "" if that is not known.
        name: Of its orchestrator; "" likewise.
        events: How many events it has.
        event_index: The place in the history, from 0, where code and history part; None: they do not.
        event_id: The `eventId` there, which is the id of the action that they disagree on.
        source: The file that it was read from, if any.
    """

    status: CheckStatus
    message: str = ""
    instance_id: str = ""
    name: str = ""
    events: int = 0
    event_index: int | None = None
    event_id: int | None = None
    source: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the history replays."""
        return self.status is CheckStatus.OK


@dataclass(frozen=True)
class CheckReport:
    """What came out of checking several histories, in the order in which they were given."""

    results: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """Whether all of them replay."""
        return all(result.ok for result in self.results)

    @property
    def bad(self) -> tuple[CheckResult, ...]:
        """Those that do not replay, or could not be read."""
        return tuple(result for result in self.results if not result.ok)

    def raise_for_status(self) -> None:
        """For tests.

        Raises:
            AssertionError: Some do not replay, or could not be read; it says which, and why.
        """
        if not self.ok:
            lines = [
                f"{it.source or it.instance_id or 'history'}: {it.status.value}: {it.message}"
                for it in self.bad
            ]
            raise AssertionError(
                f"{len(self.bad)} of {len(self.results)} histories do not replay:\n"
                + "\n".join(lines)
            )


class _Sites:
    """Makes contexts that know which line made which call. They are slower, so workers have others."""

    def __init__(self) -> None:
        self.by_action: dict[int, tuple[str, int, str]] = {}

    def context_class(self) -> Any:
        # Looked up here, since packages put a class of their own in its place.
        from durabletask import worker

        base: Any = worker._RuntimeOrchestrationContext
        methods = {
            name: self._noting(getattr(base, name)) for name in _CALLS if hasattr(base, name)
        }
        return type(base.__name__, (base,), methods)

    def new_context(self, instance_id: str) -> _core.RuntimeContext:
        context: _core.RuntimeContext = self.context_class()(instance_id)
        return context

    def _noting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(context: Any, *args: Any, **kwargs: Any) -> Any:
            before = context._last_action_id
            task = method(context, *args, **kwargs)
            action = context._last_action_id
            if action != before and (site := _source_lines.caller()) is not None:
                self.by_action[action] = site
            return task

        return call

    def of(self, action: int | None) -> str | None:
        site = None if action is None else self.by_action.get(action)
        return None if site is None else _source_lines.describe(*site)


def check(
    registry: TypedOrchestrators, data: bytes, source: str | None, semantics: str = "0.17"
) -> CheckResult:
    """Replays a history with the code of a registry, under the semantics of a release.

    Raises:
        HistoryFormatError: `data` is no history.
    """
    sites = _Sites()
    new_context: Callable[[str], Any] = sites.new_context
    if registry.converter is not None:
        new_context = converting_context(sites.context_class, registry.converter)
    instance_id, name, events, finding = _core.check_history(registry, new_context, data, semantics)
    if finding is None:
        return CheckResult(CheckStatus.OK, "", instance_id, name, events, source=source)
    kind, message, event_index, event_id, stands_at = finding
    if made_at := sites.of(event_id):
        message += f"\n  the call was made at {made_at}"
    if stands_at:
        message += f"\n  the orchestrator stands at {stands_at}"
    return CheckResult(
        CheckStatus(kind), message, instance_id, name, events, event_index, event_id, source
    )


def mismatch_report(registry: Any, request: bytes) -> str | None:
    """What a check says of the turn that a worker just could not play; None: nothing, the worker knows more."""
    typed = registry if isinstance(registry, TypedOrchestrators) else TypedOrchestrators(registry)
    try:
        result = check(typed, request, None)
    except Exception:
        return None
    return result.message or None
