"""Hands orchestrators and activities their inputs as the types they declare; lets a converter write what they send."""

from __future__ import annotations

import functools
import inspect
import threading
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from durabletask.internal.json_values import Prepared, from_json
from durabletask.internal.typed import PayloadTypeError, reader_of, resolved

if TYPE_CHECKING:
    from durabletask._worker.registry import Registry
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


class TypedOrchestrators:
    """A registry's orchestrators as the engine is to call them.

    With a converter, the engine hands them the text of their input (see `_read_payloads_with`), and
    is handed their result to be written by it.
    """

    def __init__(self, registry: Registry, converter: PayloadConverter | None = None):
        self._registry = registry
        self.converter = converter
        self._inputs = Inputs(converter)

    def get_orchestrator(
        self, name: str, version_name: str | None = None
    ) -> tuple[Callable[..., Any] | None, str | None]:
        """What the registry answers, typed."""
        fn, version = self._registry.get_orchestrator(name, version_name)
        if fn is None:
            return None, version
        if self.converter is not None:
            return functools.partial(self._converted, self.converter, fn), version
        reader = self._inputs.reader(fn)
        if reader is None:
            return fn, version
        return functools.partial(_called_with, fn, reader), version

    def _converted(self, converter: PayloadConverter, fn: Any, ctx: Any, text: str | None) -> Any:
        result = fn(ctx, None if text is None else self._inputs.read(fn, text))
        if isinstance(result, types.GeneratorType):
            return _prepared_generator(converter, result)
        if inspect.iscoroutine(result):
            return _prepared_coroutine(converter, result)
        return prepared(converter, result)


def _called_with(fn: Any, reader: Callable[[Any], Any], ctx: Any, value: Any) -> Any:
    return fn(ctx, fitted(reader, fn, value))


def _prepared_generator(converter: PayloadConverter, routine: Any) -> Any:
    return prepared(converter, (yield from routine))


async def _prepared_coroutine(converter: PayloadConverter, routine: Any) -> Any:
    return prepared(converter, await routine)


def prepared(converter: PayloadConverter, value: Any) -> Any:
    """The value, to be written by the converter; None stays None."""
    return None if value is None else Prepared(value, converter.to_json)


def converting_context(base: Any, converter: PayloadConverter) -> Callable[[str], Any]:
    """Makes contexts whose payloads the converter writes and reads. `base` is asked for their class each time."""

    @functools.lru_cache(maxsize=4)
    def class_on(context_class: Any) -> Any:
        class Context(context_class):  # type: ignore[misc]  # whatever class is in use
            """The context in use, with payloads through the converter."""

            def call_activity(
                self,
                activity: Any,
                *,
                input: Any = None,  # noqa: A002
                **options: Any,
            ) -> Any:
                return super().call_activity(activity, input=prepared(converter, input), **options)

            def call_sub_orchestrator(
                self,
                orchestrator: Any,
                *,
                input: Any = None,  # noqa: A002
                **options: Any,
            ) -> Any:
                return super().call_sub_orchestrator(
                    orchestrator, input=prepared(converter, input), **options
                )

            def continue_as_new(self, new_input: Any, *, save_events: bool = False) -> None:
                super().continue_as_new(prepared(converter, new_input), save_events=save_events)

            def send_event(self, instance_id: str, name: str, *, data: Any = None) -> None:
                super().send_event(instance_id, name, data=prepared(converter, data))

        return Context

    def new_context(instance_id: str) -> Any:
        context = class_on(base())(instance_id)
        context._read_payloads_with(lambda text: converter.from_json(text, None))
        return context

    return new_context
