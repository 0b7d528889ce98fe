"""Where the user's code is: the line that an orchestrator waits at, that raised, or that made a call.

Only asked for when something has gone wrong, so that nothing is kept while all goes well.
"""

from __future__ import annotations

import functools
import gc
import inspect
import linecache
import sys
from pathlib import Path
from types import (
    AsyncGeneratorType,
    CodeType,
    CoroutineType,
    FrameType,
    GeneratorType,
    TracebackType,
)
from typing import Any

_OWN = str(Path(__file__).parent)
# Packages that make an orchestrator's calls for it.
_BETWEEN = ("dapr.ext.workflow",)


def stands_at(routine: Any) -> str | None:
    """The line at which a suspended generator or coroutine waits, in the innermost function.

    Args:
        routine: A generator, a coroutine, or what its `__await__` returns.

    Returns:
        "file.py:12 in orchestrator: yield ctx.call_activity(a)", or None if it does not wait.
    """
    place = None
    while routine is not None:
        frame: FrameType | None = None
        inner: Any
        if isinstance(routine, GeneratorType):
            frame, inner = routine.gi_frame, routine.gi_yieldfrom
        elif isinstance(routine, CoroutineType):
            frame, inner = routine.cr_frame, routine.cr_await
        elif isinstance(routine, AsyncGeneratorType):
            frame, inner = routine.ag_frame, routine.ag_await
        else:
            inner = _behind(routine)
        if frame is not None and not _is_own(frame):
            place = frame
        routine = inner
    if place is None:
        return None
    return describe(place.f_code.co_filename, place.f_lineno, place.f_code.co_name)


def raised_at(traceback: TracebackType) -> str | None:
    """The line of the user's code that an exception came out of: the innermost that is not this package's own."""
    place: TracebackType | None = None
    step: TracebackType | None = traceback
    while step is not None:
        if not _is_own(step.tb_frame):
            place = step
        step = step.tb_next
    if place is None:
        return None
    code = place.tb_frame.f_code
    return describe(code.co_filename, place.tb_lineno, code.co_name)


def ended_at(frame: FrameType) -> str | None:
    """The line at which a function that has returned did so, given the frame it had."""
    if _is_own(frame):
        return None
    return describe(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def hint_about(yielded: Any) -> str | None:
    """What somebody may have meant who waits for something that is no task."""
    if isinstance(yielded, (list, tuple, set)):
        return " Several tasks are waited for with when_all or when_any."
    if isinstance(yielded, (GeneratorType, CoroutineType)):
        return " The tasks of another generator are waited for with `yield from`, those of a coroutine with `await`."
    if yielded is None or type(yielded).__module__.partition(".")[0] in ("asyncio", "_asyncio"):
        return (
            " asyncio has no event loop here: wait with create_timer instead of asyncio.sleep, with when_all and "
            "when_any instead of gather and wait."
        )
    return None


def begins_at(code: Any) -> str | None:
    """The first line of an orchestrator: of a function, or of a generator or coroutine, which may have ended."""
    of: CodeType | None
    if isinstance(code, GeneratorType):
        of = code.gi_code
    elif isinstance(code, CoroutineType):
        of = code.cr_code
    elif isinstance(code, functools.partial):
        # As the worker calls orchestrators: the user's function is among the arguments.
        inner = (begins_at(it) for it in (code.func, *code.args) if callable(it))
        return next((place for place in inner if place is not None), None)
    elif callable(code):
        of = getattr(inspect.unwrap(code), "__code__", None)
    else:
        inner = _behind(code)
        return None if inner is None else begins_at(inner)
    if of is None or of.co_filename.startswith(_OWN):
        return None
    return describe(of.co_filename, of.co_firstlineno, of.co_name)


def _behind(wrapper: Any) -> Any:
    """The coroutine or asynchronous generator behind what awaiting it made, which has no name for it."""
    kinds = (CoroutineType, AsyncGeneratorType)
    return next((it for it in gc.get_referents(wrapper) if isinstance(it, kinds)), None)


def caller() -> tuple[str, int, str] | None:
    """File, line and function of the innermost frame that is neither here nor between."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not _is_own(frame) and not module.startswith(_BETWEEN):
            return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
        frame = frame.f_back
    return None


def describe(file: str, line: int, function: str) -> str:
    """A place in words, with the line's text if the file can be read."""
    text = linecache.getline(file, line).strip()
    place = f"{file}:{line} in {function}"
    return f"{place}: {text}" if text else place


def _is_own(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OWN)
