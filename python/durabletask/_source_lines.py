"""Where the user's code is: the line that an orchestrator waits at, or that made a call.

Only asked for when something has gone wrong, so that nothing is kept while all goes well.
"""

from __future__ import annotations

import gc
import linecache
import sys
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
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
