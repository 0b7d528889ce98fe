"""Reads the inputs of orchestrators and activities as the types that they declare."""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from typing import TYPE_CHECKING, Any

from durabletask._payloads.hints import resolved
from durabletask._payloads.read import PayloadTypeError, Reader, from_json, reader_of
from durabletask._payloads.undeclared import undeclared_reader_of

if TYPE_CHECKING:
    from durabletask.payloads import PayloadConverter

# How many functions are remembered; few programs register more.
_REMEMBERED = 4096


class Inputs:
    """Reads the inputs of functions; what it finds out about a function is remembered.

    `typed` says whether they are read as all that annotations can say, or as they used to be. A
    converter is told the annotations either way.
    """

    def __init__(self, converter: PayloadConverter | None = None, typed: bool = False):
        self._converter = converter
        self._reader_of = reader_of if typed else undeclared_reader_of
        self._known: dict[int, tuple[Any, Any, Reader | None]] = {}
        self._lock = threading.Lock()

    def _look_at(self, fn: Any) -> tuple[Any, Any, Reader | None]:
        """The function, what its parameter after the context is annotated with, and how to read that."""
        known = self._known.get(id(fn))
        if known is not None and known[0] is fn:
            return known
        hint = input_hint(fn)
        known = (fn, hint, None if hint is None else self._reader_of(hint))
        with self._lock:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[id(fn)] = known  # holding the function keeps its id its own
        return known

    def reader(self, fn: Any) -> Reader | None:
        """How to make of decoded JSON what the function expects; None: leave it."""
        return self._look_at(fn)[2]

    def read(self, fn: Any, text: str) -> Any:
        """The input of a function from its JSON."""
        if self._converter is not None:
            return self._converter.from_json(text, self._look_at(fn)[1])
        value = from_json(text)
        reader = self.reader(fn)
        return value if reader is None else fitted(reader, fn, value)


def fitted(reader: Reader, fn: Any, value: Any) -> Any:
    """The value as what the function expects."""
    name = getattr(fn, "__name__", type(fn).__name__)
    try:
        return reader(value)
    except PayloadTypeError as error:
        _tell(name, value)
        raise PayloadTypeError(
            f"The input of '{name}' does not fit its annotation: {error}. Send what the annotation "
            "says, or annotate the parameter with Any to receive it as JSON has it."
        ) from None
    except ValueError:  # pydantic's
        _tell(name, value)
        raise


def _tell(name: str, value: Any) -> None:
    """Log the payload that does not fit, which no other line does."""
    logger = logging.getLogger("durabletask.worker")
    logger.debug("The input of '%s' that does not fit its annotation is %.500r", name, value)


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
