"""What annotations stand for: text is resolved, type parameters are what one use of a class has, as `Page[Order]`."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from types import SimpleNamespace
from typing import Any, TypeVar

_Bindings = dict[Any, Any]


def field_hints(use: Any) -> dict[str, Any]:
    """The annotations of a class, with its type parameters or without, resolved; those that cannot be are Any."""
    try:
        return _field_hints(use)
    except TypeError:  # not hashable, such as Page[Annotated[int, []]]
        return _field_hints(typing.get_origin(use))


@functools.lru_cache(maxsize=512)
def _field_hints(use: Any) -> dict[str, Any]:
    kind = typing.get_origin(use) or use
    hints = _resolved_hints(kind)
    bindings = _bindings(use)
    # Classes may give one name to different parameters: those count that belong to the class which has the field.
    for base in reversed(kind.__mro__):
        ours = bindings.get(base, {})
        for name in inspect.get_annotations(base):
            if name in hints:
                hints[name] = _substituted(hints[name], ours)
    return hints


def _resolved_hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except Exception:  # whatever evaluating annotations raises: each for itself, then
        hints = {}
        for base in reversed(kind.__mro__):
            module = getattr(base, "__module__", "")
            for name, annotation in inspect.get_annotations(base).items():
                hints[name] = resolved(annotation, vars(sys.modules.get(module, typing)))
        return hints


def resolved(annotation: Any, names: dict[str, Any]) -> Any:
    """An annotation as a type; Any, if its names are not known."""
    holder: Any = SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, names, {}, include_extras=True)["it"]
    except Exception:  # evaluating text of the program's
        return Any


def _bindings(use: Any) -> dict[Any, _Bindings]:
    """What type parameters stand for, of a class and of each of its bases."""
    kind = typing.get_origin(use) or use
    if not isinstance(kind, type):  # typing.NamedTuple and TypedDict are functions
        return {}
    ours = dict(zip(getattr(kind, "__parameters__", ()), typing.get_args(use), strict=False))
    found: dict[Any, _Bindings] = {}
    for base in vars(kind).get("__orig_bases__", kind.__bases__):
        if typing.get_origin(base) not in (typing.Generic, typing.Protocol):
            found |= _bindings(_substituted(base, ours))
    return found | {kind: ours}


def _substituted(hint: Any, bindings: _Bindings) -> Any:
    if isinstance(hint, TypeVar):
        return bindings.get(hint, Any)
    parameters = getattr(hint, "__parameters__", ())
    if not parameters or typing.get_origin(hint) is None:  # a class that is not told what they are
        return hint
    return hint[tuple(bindings.get(each, Any) for each in parameters)]
