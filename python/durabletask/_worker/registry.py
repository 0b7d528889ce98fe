"""What a worker can run: orchestrators by name and version, activities by name."""

from __future__ import annotations

import inspect
from types import FunctionType, MethodType
from typing import Any

from durabletask import task


class VersionNotRegisteredException(Exception):
    """The history asks for a version of an orchestrator that this worker does not have."""


class OrchestratorNotRegisteredError(ValueError):
    """The worker was given an orchestration whose orchestrator it does not have."""


class ActivityNotRegisteredError(ValueError):
    """The worker was given an activity that it does not have."""


def _check_name(kind: str, name: Any, what: str = "name") -> None:
    """Refuse a name, or a version, that no history could have.

    Raises:
        TypeError: It is no text.
        ValueError: It is empty, or has lone surrogates, which no message can carry.
    """
    if name is None or name == "":
        raise ValueError(f"A non-empty {kind} {what} is required.")
    if not isinstance(name, str):
        raise TypeError(f"The {what} of an {kind} is a str, found {name!r} ({type(name).__name__})")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"The {kind} {what} {name!r} can not be written as UTF-8") from None


def _check_takes_two(kind: str, name: str, fn: Any) -> None:
    """Refuse a function that could not be called.

    Raises:
        TypeError: It takes no two positional arguments. Only plain functions are looked at: what other callables take
            is for them to know.
    """
    if not isinstance(fn, (FunctionType, MethodType)) or hasattr(fn, "__signature__"):
        return
    signature = inspect.signature(fn, follow_wrapped=False)
    try:
        signature.bind(None, None)
    except TypeError:
        raise TypeError(
            f"The {kind} '{name}' is called with two arguments, the context and the input, also when there is no "
            f"input; found {name}{signature}. Write `def {name}(ctx, input)`."
        ) from None


class Registry:
    """Names and the functions behind them.

    An orchestrator registered without a version hides the versioned ones of the same name.
    """

    def __init__(self) -> None:
        self.orchestrators: dict[str, task.Orchestrator[Any, Any]] = {}
        self.versioned_orchestrators: dict[str, dict[str, task.Orchestrator[Any, Any]]] = {}
        self.latest_versioned_orchestrators_version_name: dict[str, str] = {}
        self.activities: dict[str, task.Activity[Any, Any]] = {}

    def offer(self) -> tuple[list[str | list[str]], list[str]]:
        """What is registered, as a worker tells sidecars: orchestrators, those with versions as pairs; activities."""
        orchestrators: list[str | list[str]] = [*sorted(self.orchestrators)]
        for name, versions in sorted(self.versioned_orchestrators.items()):
            orchestrators.extend([name, version] for version in sorted(versions))
        return orchestrators, sorted(self.activities)

    def add_orchestrator(
        self,
        fn: task.Orchestrator[Any, Any],
        version_name: str | None = None,
        is_latest: bool = False,
        name: str | None = None,
    ) -> str:
        """Register an orchestrator under a name, by default its function's, and return the name."""
        if fn is None:
            raise ValueError("An orchestrator function argument is required.")
        name = task.get_name(fn) if name is None else name
        self.add_named_orchestrator(name, fn, version_name, is_latest)
        return name

    def add_named_orchestrator(
        self,
        name: str,
        fn: task.Orchestrator[Any, Any],
        version_name: str | None = None,
        is_latest: bool = False,
    ) -> None:
        """Register an orchestrator, or one version of it, under a name.

        New orchestrations run the version that was registered as the latest.
        """
        _check_name("orchestrator", name)
        if version_name is not None:
            _check_name("orchestrator", version_name, "version")
        _check_takes_two("orchestrator", name, fn)
        if version_name is None:
            if name in self.orchestrators:
                raise ValueError(f"A '{name}' orchestrator already exists.")
            self.orchestrators[name] = fn
            return
        versions = self.versioned_orchestrators.setdefault(name, {})
        if version_name in versions:
            raise ValueError(
                f"The version '{version_name}' of '{name}' orchestrator already exists."
            )
        versions[version_name] = fn
        if is_latest:
            self.latest_versioned_orchestrators_version_name[name] = version_name

    def get_orchestrator(
        self, name: str, version_name: str | None = None
    ) -> tuple[task.Orchestrator[Any, Any] | None, str | None]:
        """The function for a name, and the version it is; `(None, None)` if there is none.

        Raises:
            VersionNotRegisteredException: The name has versions, but not this one.

        """
        fn = self.orchestrators.get(name)
        if fn is not None:
            return fn, None
        versions = self.versioned_orchestrators.get(name)
        version = version_name or self.latest_versioned_orchestrators_version_name.get(name)
        if versions is None or not version:
            return None, None
        if version not in versions:
            raise VersionNotRegisteredException(
                f"Version '{version}' of the '{name}' orchestrator was not registered; "
                f"registered are: {', '.join(sorted(versions))}."
            )
        return versions[version], version

    def add_activity(self, fn: task.Activity[Any, Any], name: str | None = None) -> str:
        """Register an activity under a name, by default its function's, and return the name."""
        if fn is None:
            raise ValueError("An activity function argument is required.")
        name = task.get_name(fn) if name is None else name
        self.add_named_activity(name, fn)
        return name

    def add_named_activity(self, name: str, fn: task.Activity[Any, Any]) -> None:
        """Register an activity under a name."""
        _check_name("activity", name)
        _check_takes_two("activity", name, fn)
        if name in self.activities:
            raise ValueError(f"A '{name}' activity already exists.")
        self.activities[name] = fn

    def get_activity(self, name: str) -> task.Activity[Any, Any] | None:
        """The function for a name, or None."""
        return self.activities.get(name)
