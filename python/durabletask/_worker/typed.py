"""Orchestrators and contexts with typed inputs, and with payloads that a converter writes and reads."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from durabletask._payloads.write import Prepared
from durabletask._worker.inputs import Inputs, fitted

if TYPE_CHECKING:
    from durabletask._worker.registry import Registry
    from durabletask.payloads import PayloadConverter


class TypedOrchestrators:
    """A registry's orchestrators as the engine is to call them.

    With a converter, the engine hands them the text of their input (see `_read_payloads_with`), and
    is handed their result to be written by it.
    """

    def __init__(
        self, registry: Registry, converter: PayloadConverter | None = None, typed: bool = False
    ):
        self._registry = registry
        self.converter = converter
        self._inputs = Inputs(converter, typed)

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
