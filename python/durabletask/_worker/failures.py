"""Exceptions as the protocol reports them."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from durabletask import _core
from durabletask._failures import NonRetryableError

# Where frames of the worker itself come from; they say nothing about the user's code.
_OWN_CODE = str(Path(__file__).parent)

# Causes of causes; a chain longer than this has said enough.
_LONGEST_CHAIN = 16


def failure_chain(error: BaseException) -> list[_core.FailureLink]:
    """An exception and its causes, the outermost first."""
    chain: list[_core.FailureLink] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(chain) < _LONGEST_CHAIN:
        seen.add(id(current))
        chain.append(
            (
                _encodable(name_of(current)),
                _encodable(message_of(current)),
                _encodable(_stack_trace(current)),
                isinstance(current, NonRetryableError),
            )
        )
        current = _cause(current) or next(iter(_contents(current)), None)
    return chain


# Exceptions are the program's: what asks them for something takes whatever comes, or the activity would never end.


def name_of(error: BaseException) -> str:
    """The name of an exception's class, without its module."""
    try:
        return str(type(error).__name__)
    except BaseException:  # a metaclass of its own
        return "Exception"


def message_of(error: BaseException) -> str:
    """What `str()` of an exception says."""
    try:
        return str(error)
    except BaseException as broken:
        return f"<str() of the exception raised {name_of(broken)}>"


def traceback_of(error: BaseException) -> TracebackType | None:
    """Where an exception was raised."""
    try:
        return error.__traceback__
    except BaseException:
        return None


def _cause(error: BaseException) -> BaseException | None:
    try:
        cause = error.__cause__
    except BaseException:
        return None
    return cause if isinstance(cause, BaseException) else None


def _contents(error: BaseException) -> Sequence[BaseException]:
    """What is in an exception group, which Python 3.10 only has from a package."""
    try:
        inside = getattr(error, "exceptions", None)
        if not hasattr(error, "derive") or not isinstance(inside, tuple):
            return ()
    except BaseException:
        return ()
    return [each for each in inside if isinstance(each, BaseException)]


def _stack_trace(error: BaseException) -> str:
    """The frames of the user's code; below them, what is in a group, since only the first is told of by itself."""
    frames = "".join(traceback.format_tb(_of_user(traceback_of(error))))
    inside = _contents(error)
    if not inside:
        return frames
    count = len(inside)
    return frames + "".join(
        f"exception {index} of {count} in it:\n{_told(each)}"
        for index, each in enumerate(inside[:_LONGEST_CHAIN], 1)
    )


def _told(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:
        return f"{name_of(error)}: {message_of(error)}\n"


def _of_user(frames: TracebackType | None) -> TracebackType | None:
    """The stack from where it leaves the worker; all of it, if it does not."""
    inner = frames
    while inner is not None and inner.tb_frame.f_code.co_filename.startswith(_OWN_CODE):
        inner = inner.tb_next
    return inner or frames


def _encodable(text: str) -> str:
    """The text with what UTF-8 cannot hold (lone surrogates) replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")
