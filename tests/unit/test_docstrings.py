"""Every public name has a docstring at run time, for `help()` and editors."""

from __future__ import annotations

import importlib
import inspect
import typing
from typing import Any, TypeVar

import pytest

MODULES = (
    *("client", "worker", "task", "payloads", "replay", "deterministic", "sidecar", "aio.client"),
    *("internal.shared", "aio.internal.shared"),
)


@pytest.mark.parametrize("module", MODULES)
def test_all_that_a_module_exports_is_described(module: str) -> None:
    found = importlib.import_module(f"durabletask.{module}")
    names = getattr(found, "__all__", None) or [
        name
        for name, value in vars(found).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == found.__name__
    ]
    missing = [name for name in names for name in undescribed(name, getattr(found, name))]
    assert found.__doc__
    assert not missing, f"without a docstring: {', '.join(missing)}"


def undescribed(name: str, value: Any) -> list[str]:
    if isinstance(value, TypeVar) or typing.get_origin(value) is not None:
        return []  # aliases, which are classes to Python 3.10
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return []  # constants have none of their own
    missing = [] if inspect.getdoc(value) else [name]
    if inspect.isclass(value) and value.__module__.startswith("durabletask"):
        for attribute, member in vars(value).items():
            if attribute.startswith("_"):
                continue
            described = inspect.getdoc(getattr(value, attribute)) or inspect.getdoc(member)
            if is_method(member) and not described:
                missing.append(f"{name}.{attribute}")
    return missing


def is_method(member: Any) -> bool:
    wrapped = isinstance(member, (property, staticmethod, classmethod))
    return wrapped or inspect.isroutine(member) or inspect.isgetsetdescriptor(member)
