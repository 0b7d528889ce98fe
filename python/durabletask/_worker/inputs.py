"""Reads the inputs of orchestrators and activities as the types that they declare."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from durabletask._payloads.read import PayloadTypeError, from_json, reader_of, resolved

if TYPE_CHECKING:
    from durabletask.payloads import PayloadConverter

# How many functions are remembered; few programs register more.
_REMEMBERED = 4096


class Inputs:
    """Reads the inputs of functions; what it finds out about a function is remembered."""

    def __init__(self, converter: PayloadConverter | None = None):
        self._converter = converter
        self._hints: dict[int, tuple[Any, Any]] = {}
        self._lock = threading.Lock()

    def hint(self, fn: Any) -> Any:
        """What the parameter after the context is annotated with, resolved; None: nothing."""
        known = self._hints.get(id(fn))
        if known is not None and known[0] is fn:
            return known[1]
        hint = input_hint(fn)
        with self._lock:
            if len(self._hints) >= _REMEMBERED:
                self._hints.clear()
            self._hints[id(fn)] = (fn, hint)  # holding the function keeps its id its own
        return hint

    def reader(self, fn: Any) -> Callable[[Any], Any] | None:
        """How to make of decoded JSON what the function expects; None: leave it."""
        hint = self.hint(fn)
        return None if hint is None else reader_of(hint)

    def read(self, fn: Any, text: str) -> Any:
        """The input of a function from its JSON."""
        if self._converter is not None:
            return self._converter.from_json(text, self.hint(fn))
        value = from_json(text)
        reader = self.reader(fn)
        return value if reader is None else fitted(reader, fn, value)


def fitted(reader: Callable[[Any], Any], fn: Any, value: Any) -> Any:
    """The value as what the function expects."""
    try:
        return reader(value)
    except PayloadTypeError as error:
        name = getattr(fn, "__name__", type(fn).__name__)
        raise PayloadTypeError(
            f"The input of '{name}' does not fit its annotation: {error}. Send what the annotation "
            "says, or annotate the parameter with Any to receive it as JSON has it."
        ) from None


def input_hint(fn: Any) -> Any:
    """What the second parameter of a function is annotated with; None: nothing that is understood."""
    try:
        parameters = [
            each
            for each in inspect.signature(fn).parameters.values()
            if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
    except Exception:  # no signature; or, from 3.14 on, whatever evaluating annotations raises
        return None
    if len(parameters) < 2 or parameters[1].annotation is inspect.Parameter.empty:
        return None
    annotation = parameters[1].annotation
    inner: Any = inspect.unwrap(fn)
    while isinstance(inner, functools.partial):
        inner = inner.func
    inner = inner if hasattr(inner, "__globals__") else getattr(inner, "__func__", inner)
    if not hasattr(inner, "__globals__"):
        inner = getattr(type(inner), "__call__", inner)  # noqa: B004 - the function behind an object
    return resolved(annotation, {**getattr(inner, "__globals__", {}), **_enclosed(inner)})


def _enclosed(fn: Any) -> dict[str, Any]:
    """The names of enclosing functions that a function uses."""
    found = {}
    names = getattr(getattr(fn, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(fn, "__closure__", None) or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found
